"""Runs a rendered pod as a process of this machine: its arguments, its variables, its files, its probes.

Only what a cluster would resolve is replaced: values of Secrets, the downward API, folders that are volumes, ports of
the pod's own network, host names of Services.
"""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.local import ports
from tests.helm.chart import Object
from tests.helm.objects import container, named

LIPSTAGE = Path(sys.executable).parent / "lipstage"
"""Stands for the entry point of the images."""
DOWNWARD = {"metadata.name": "pod-0", "metadata.namespace": "video", "spec.nodeName": "node-0"}
Secrets = Mapping[str, Mapping[str, str]]
"""Name -> key -> value."""


@dataclass
class PodProcess:
    """A pod whose volumes lie in ``folder``. ``objects`` are those of its release."""

    pod: Object
    objects: list[Object]
    secrets: Secrets
    folder: Path
    ports: dict[int, int] = field(default_factory=dict)
    """Port of the pod -> port of this machine."""
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        for number in self._numbers():
            if number not in self.ports:
                self.ports[number] = ports.pick(1, set())[0]
        self._mounts = {
            mount["mountPath"]: self.folder / mount["mountPath"].strip("/") for mount in self._one["volumeMounts"]
        }
        volumes = {volume["name"]: volume for volume in self.pod["spec"]["volumes"]}
        for mount in self._one["volumeMounts"]:
            target = self._mounts[mount["mountPath"]]
            target.mkdir(parents=True, exist_ok=True)
            for name, text in self._content(volumes[mount["name"]]).items():
                (target / name).write_text(self._local(text))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    @property
    def grace_s(self) -> int:
        return int(self.pod["spec"]["terminationGracePeriodSeconds"])

    def start(self, *args: str, **variables: str) -> None:
        """Start the entry point with the pod's arguments, or with ``args``, and with no variable but the pod's.

        ``variables`` replace some.
        """
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [LIPSTAGE, *(args or self._one["args"])],
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", **self.environment(), **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, *args: str) -> None:
        """Start, and wait for the exit status 0. Raises AssertionError."""
        self.start(*args)
        assert self.process is not None
        assert self.process.wait(280) == 0, self.log

    def environment(self) -> dict[str, str]:
        """The container's variables, as a cluster would resolve them."""
        values: dict[str, str] = {}
        for one in self._one["env"]:
            value = self._local(one["value"]) if "value" in one else self._reference(one["valueFrom"])
            values[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], value)
        for name in ("LIPSTAGE_HEALTH_PORT", "LIPSTAGE_PROJECTION_PORT", "LIPSTAGE_GATEWAY_PORT"):
            if name in values:
                values[name] = str(self.ports[int(values[name])])
        return values

    def wait_for(self, probe: str) -> None:
        """Until the probe passes, for as long as a kubelet tries; ten times that on a busy machine. AssertionError."""
        spec = self._one[f"{probe}Probe"]
        until = time.monotonic() + 10 * spec["periodSeconds"] * spec["failureThreshold"]
        while (answer := self.probe(probe)) != 200:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, f"{probe} probe: {answer}\n{self.log}"
            time.sleep(0.05)

    def probe(self, name: str) -> int | None:
        """The status of the probe's answer; None when nothing answers."""
        get = self._one[f"{name}Probe"]["httpGet"]
        number = {port["name"]: port["containerPort"] for port in self._one["ports"]}[get["port"]]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[number]}{get['path']}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def stop(self) -> int:
        """SIGTERM; the exit status. Raises subprocess.TimeoutExpired after the grace period."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(self.grace_s)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)

    @property
    def _one(self) -> Object:
        return container(self.pod)

    def _numbers(self) -> list[int]:
        return [port["containerPort"] for port in self._one.get("ports", [])]

    def _content(self, volume: Object) -> Mapping[str, str]:
        if "configMap" in volume:
            return dict(named(self.objects, "ConfigMap", volume["configMap"]["name"])["data"])
        return self.secrets[volume["secret"]["secretName"]] if "secret" in volume else {}

    def _reference(self, source: dict[str, Any]) -> str:
        if "fieldRef" in source:
            return DOWNWARD[source["fieldRef"]["fieldPath"]]
        return self.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]

    def _local(self, text: str) -> str:
        """``text`` with the folders of mounts, and with Services of the release, as they are on this machine."""
        folders = "|".join(sorted(map(re.escape, self._mounts), key=len, reverse=True))
        text = re.sub(rf"(?<![\w/.-])({folders})(?![\w.-])", lambda match: str(self._mounts[match[1]]), text)
        for service in (one for one in self.objects if one["kind"] == "Service"):
            port = service["spec"]["ports"][0]["port"]
            text = text.replace(f"{service['metadata']['name']}:{port}", f"127.0.0.1:{self.ports.get(port, port)}")
        return text
