"""One pod of a rendered template: the document that podman plays, and the running pod as a kubelet sees it."""

import copy
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pods.podman import Podman
from tests.relay.harness import until

Object = dict[str, Any]
CONTAINER = "lipstage"
NODE = "node-1"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
ANSWER_S = 3.0


def document(template: Object, name: str, namespace: str, secrets: Mapping[str, Mapping[str, str]]) -> Object:
    """The pod that a controller makes of the template, with what a kubelet resolves and podman 4.3 does not.

    That is: values of secrets and of the pod's own fields, $(NAME) in values, and volumes of its own (podman shares
    those of one name). Probes are left out: podman would run them inside of the container; ``Pod.answers`` asks them
    from outside, as a kubelet does. Ports, too: podman would publish them on the host.
    """
    spec = copy.deepcopy(template["spec"])
    labels = template["metadata"]["labels"]
    own = {"metadata.name": name, "metadata.namespace": namespace, "spec.nodeName": NODE}
    for container in spec["containers"]:
        for probe in PROBES:
            container.pop(probe, None)
        container.pop("ports", None)
        container["env"] = _resolved(container["env"], own, secrets)
        for mount in container["volumeMounts"]:
            mount["name"] = f"{name}-{mount['name']}"
    for volume in spec["volumes"]:
        volume["name"] = f"{name}-{volume['name']}"
        if "configMap" in volume:
            volume["configMap"]["name"] = f"{name}-{volume['configMap']['name']}"
        else:
            assert "emptyDir" in volume, f"podman 4.3 plays no {volume}"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _resolved(entries: list[Object], own: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]]) -> list[Object]:
    values: dict[str, str] = {}
    for entry in entries:
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            value = own[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            value = secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        else:
            value = str(entry.get("value", ""))
        values[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], value)
    return [{"name": name, "value": value} for name, value in values.items()]


@dataclass
class Pod:
    """A running pod."""

    podman: Podman
    name: str
    template: Object
    address: str = ""
    exit_code: int | None = None
    peak_bytes: int = field(default=0, init=False)
    """Most memory that the cgroup ever had, page cache included; read when the pod ends."""

    @property
    def container(self) -> str:
        return f"{self.name}-{CONTAINER}"

    @property
    def spec(self) -> Object:
        (container,) = self.template["spec"]["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def memory_limit_bytes(self) -> int:
        return int(self.podman.inspect("container", self.container)["HostConfig"]["Memory"])

    def start(self, network: str, config_maps: list[Object], namespace: str, secrets: Mapping[str, Any]) -> None:
        """Play the pod with configuration of its own."""
        mine = [one | {"metadata": {"name": f"{self.name}-{one['metadata']['name']}"}} for one in config_maps]
        documents = [*mine, document(self.template, self.name, namespace, secrets)]
        self.podman.play("---\n".join(json.dumps(one) + "\n" for one in documents), network)
        networks = self.podman.inspect("container", self.container)["NetworkSettings"]["Networks"]
        self.address = networks[network]["IPAddress"]

    def answers(self, probe: str) -> bool:
        """Whether a probe of the template succeeds now."""
        get = self.spec[probe]["httpGet"]
        port = next(port["containerPort"] for port in self.spec["ports"] if port["name"] == get["port"])
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port}{get['path']}", timeout=ANSWER_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def await_ready(self, wait_s: float = 120) -> None:
        """Wait until the readiness probe succeeds. Raises AssertionError with the pod's log."""
        try:
            until(lambda: self.answers("readinessProbe") or self._not_restarted(), f"{self.name} is ready", wait_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log: {self.log()[-9000:]}") from None

    def await_exit(self, wait_s: float = 120) -> int:
        """The exit code of a pod that runs to its end."""
        until(lambda: self._state()["Status"] in ("exited", "stopped"), f"{self.name} ends", wait_s)
        return int(self._state()["ExitCode"])

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after the template's grace period; sets exit_code and peak_bytes."""
        self.peak_bytes = self._peak()
        assert self._state()["OOMKilled"] is False, f"{self.name} was killed for its memory"
        self._not_restarted()
        grace_s = self.template["spec"]["terminationGracePeriodSeconds"]
        self.podman.run("stop", "--time", grace_s, self.container, seconds=grace_s + 60)
        self.exit_code = int(self._state()["ExitCode"])

    def remove(self) -> None:
        """Delete the pod and its volumes."""
        mounts = self.podman.inspect("container", self.container)["Mounts"]
        volumes = [mount["Name"] for mount in mounts if mount["Type"] == "volume"]
        self.podman.run("pod", "rm", "--force", self.name)
        for volume in volumes:
            self.podman.succeeds("volume", "rm", "--force", volume)

    def log(self) -> str:
        """What the container printed to stdout."""
        return self.podman.output("logs", self.container)

    def run(self, *command: str) -> bool:
        """Whether a command succeeds in the container."""
        return self.podman.succeeds("exec", self.container, *command)

    def _not_restarted(self) -> None:
        count = self.podman.inspect("container", self.container)["RestartCount"]
        assert count == 0, f"{self.name} was restarted {count} times"

    def _state(self) -> Object:
        state = self.podman.inspect("container", self.container)["State"]
        assert isinstance(state, dict)
        return state

    def _peak(self) -> int:
        pid = self._state()["Pid"]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return int((MEMORY_CGROUPS / path.lstrip("/") / "memory.max_usage_in_bytes").read_text())
            peak = Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.peak"
            if not controllers and peak.exists():
                return int(peak.read_text())
        return 0
