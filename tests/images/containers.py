"""Real containers of the built images, by podman and runc."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tools.images.build import tag
from tools.images.targets import selected

Result = TypeVar("Result")
SCRATCH = ("--tmpfs", "/scratch:rw,mode=1777", "--tmpfs", "/tmp:rw,mode=1777")
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
"""For machines that are containers themselves: raising limits and systemd's cgroups are not permitted there."""
DEADLINE_S = 240.0


@dataclass(frozen=True)
class Podman:
    """The engine, with a configuration that works inside of a container."""

    configuration: Path

    def run(
        self, *arguments: object, check: bool = True, seconds: float = 400, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CONTAINERS_CONF": str(self.configuration)}
        done = subprocess.run(["podman", *map(str, arguments)], env=environment, capture_output=True, text=True,
                              timeout=seconds, input=stdin)  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def once(self, target: str, *arguments: object, options: Sequence[object] = (), check: bool = True,
             read_only: bool = True) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a container to its end."""
        root = ["--read-only", *SCRATCH] if read_only else []
        return self.run("run", "--rm", *root, *options, tag(selected(target)[0]), *arguments, check=check)

    def python(self, target: str, program: str) -> Any:
        """What a program in the image's Python prints as JSON."""
        done = self.once(target, "-P", "-c", program, options=["--entrypoint", "/opt/lipstage/bin/python"])
        return json.loads(done.stdout)

    def shell(self, target: str, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.once(target, "-c", script, options=["--entrypoint", "/bin/sh"], check=False, **options)

    @contextmanager
    def service(self, target: str, environment: Mapping[str, object], port: int) -> Iterator["Service"]:
        """A service with the host's network; its health port is ``port``."""
        variables = {**environment, "LIPSTAGE_HEALTH_PORT": port}
        options = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        hardened = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", *SCRATCH)
        image = tag(selected(target)[0])
        started = self.run("run", "--detach", "--network=host", *hardened, *options, image)
        service = Service(self, started.stdout.strip(), port)
        try:
            yield service
        finally:
            self.run("rm", "--force", "--time", "0", service.name)


@dataclass(frozen=True)
class Service:
    """A running container."""

    podman: Podman
    name: str
    port: int

    def wait_ready(self) -> "Service":
        until(lambda: self._answer("/readyz") is not None, f"{self.name} is ready", self.log)
        return self

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = (self._answer("/metrics") or "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def stop(self, grace_s: int) -> int:
        """Send SIGTERM, after the grace period SIGKILL; the exit code (137 after SIGKILL)."""
        self.podman.run("stop", "--time", grace_s, self.name)
        return int(self.podman.run("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)

    def log(self) -> str:
        done = self.podman.run("logs", self.name, check=False)
        return done.stdout + done.stderr

    def _answer(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                body = answer.read().decode()
                assert isinstance(body, str)
                return body
        except (urllib.error.URLError, OSError):
            return None


def until(condition: Callable[[], Result], what: str, details: Callable[[], str] = lambda: "") -> Result:
    """Wait for a condition to return something true; returns that. Fails after DEADLINE_S seconds."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not so: {what}\n{details()[-3000:]}"
        time.sleep(0.05)
    return result


def missing() -> str | None:
    """Why containers can't be started here; None when they can."""
    if shutil.which("podman") is None or shutil.which("runc") is None:
        return "podman and runc are not installed"
    return None if os.geteuid() == 0 else "podman needs root here"
