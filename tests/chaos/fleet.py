"""The services of one run as processes of their own, each with its own faults; one that ends is started again.

The local stack's supervisor gives all services the same environment; a chaos row breaks one of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.local import ports, processes, readiness
from tests.conftest import ROOT

POLL_S = 0.1
STOP_S = 60.0
"""From SIGTERM to SIGKILL: longer than the drain, for a loaded machine."""
BAD_USE = 2
MAX_STARTS = 4
"""A service that fails so often in a row does not become ready."""
ENTRY = "tests.chaos.entry"


@dataclass
class Service:
    """One replica of a stage, or the relay."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    port: int = 0
    """Health port of its running process."""
    process: subprocess.Popen[bytes] | None = None
    statuses: list[int] = field(default_factory=list)
    """Exit statuses of its processes that have ended."""
    wanted: bool = False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


class Fleet:
    """Start it with ``start`` and end it with ``stop``; both may be called again."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = dict(environment)
        self._logs = logs
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.services: dict[str, Service] = {}
        self.unusable: str | None = None
        """A service that refuses its settings; it is not started again."""

    def add(self, stage: str, replica: int = 0, **variables: str) -> str:
        """Add a replica with these variables beside those of all; returns its name."""
        name = f"{stage}-{replica}"
        engine = ("--engine", "puppet") if stage == "infer" else ()
        environment = {**self.environment, **variables}
        with self._lock:
            self.services[name] = Service(name, (stage, *engine), environment, self._logs / f"{name}.log")
        return name

    def change(self, name: str, **variables: str) -> None:
        """Change a service's variables; they hold from its next start."""
        with self._lock:
            self.services[name].environment |= variables

    def start(self, *names: str) -> None:
        """Start these services, all by default, and keep them running."""
        with self._lock:
            for name in names or self.services:
                self.services[name].wanted = True
        if self._thread is None:
            self._ended.clear()
            # The kernel kills a service with the thread that started it: one thread starts them all, and stays.
            self._thread = threading.Thread(target=self._keep, name="fleet", daemon=True)
            self._thread.start()

    def await_ready(self, seconds: float = 300) -> None:
        """Wait until every wanted service is ready. Raises TimeoutError."""
        until = time.monotonic() + seconds
        for service in [s for s in self.services.values() if s.wanted]:
            while not (service.port and readiness.serves(service.port)):
                if self.unusable:
                    raise RuntimeError(self.unusable)
                if time.monotonic() > until or service.statuses[-MAX_STARTS:].count(1) == MAX_STARTS:
                    raise TimeoutError(f"{service.name} is not ready: {self.tail(service.name)}")
                time.sleep(POLL_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of a service."""
        with self._lock:
            process = self.services[name].process
            if process is not None and process.poll() is None:
                process.send_signal(number)

    def restart(self, name: str) -> float:
        """End a service in order and start it again; returns the seconds until it had ended."""
        started = time.monotonic()
        before = len(self.services[name].statuses)
        self.signal(name, signal.SIGTERM)
        self._until(lambda: len(self.services[name].statuses) > before, f"{name} has ended")
        return time.monotonic() - started

    def await_starts(self, name: str, ended: int, seconds: float = 120) -> None:
        """Wait until ``ended`` processes of the service have ended."""
        self._until(lambda: len(self.services[name].statuses) >= ended, f"{name} has ended {ended} times", seconds)

    def stop(self, *names: str) -> None:
        """End these services in order, all by default: SIGTERM, then SIGKILL."""
        with self._lock:
            leaving = [self.services[name] for name in names or self.services]
            for service in leaving:
                service.wanted = False
                if service.process is not None and service.process.poll() is None:
                    service.process.send_signal(signal.SIGCONT)
                    service.process.send_signal(signal.SIGTERM)
        for service in leaving:
            if service.process is not None:
                try:
                    service.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    service.process.kill()
                    service.process.wait()
        if not names and self._thread is not None:
            self._ended.set()
            self._thread.join(10)
            self._thread = None

    def processes(self) -> dict[str, int]:
        """Process ids by name of the running services."""
        with self._lock:
            return {s.name: s.pid for s in self.services.values() if s.process is not None and s.process.poll() is None}

    def ended(self, name: str) -> int:
        """How many processes of the service have ended."""
        return len(self.services[name].statuses)

    def tail(self, name: str, lines: int = 5) -> str:
        """The last lines of a service's log."""
        log = self.services[name].log
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "no log"

    def workers(self, name: str) -> list[int]:
        """Process ids of a service's workers."""
        found = []
        for task in Path(f"/proc/{self.services[name].pid}/task").glob("*/children"):
            try:
                found += [int(pid) for pid in task.read_text().split()]
            except OSError:
                continue
        return found

    def _until(self, condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds:.0f} s: {what}")
            time.sleep(POLL_S)

    def _keep(self) -> None:
        while not self._ended.wait(POLL_S):
            with self._lock:
                for service in self.services.values():
                    self._revive(service)

    def _revive(self, service: Service) -> None:
        if service.process is not None and (status := service.process.poll()) is not None:
            service.statuses.append(status)
            service.process = None
            if status == BAD_USE:
                service.wanted = False
                self.unusable = f"{service.name}: {self.tail(service.name)}"
        if service.wanted and service.process is None:
            # A new one each time: another program may have taken the last one meanwhile.
            (service.port,) = ports.pick(1, {other.port for other in self.services.values()})
            with service.log.open("ab") as log:
                service.process = subprocess.Popen(
                    [sys.executable, "-P", "-m", ENTRY, *service.arguments],
                    cwd=ROOT,
                    env={**service.environment, "LIPSTAGE_HEALTH_PORT": str(service.port)},
                    stdout=log,
                    stderr=log,
                )


def environment(of_stack: Mapping[str, str], mark: str, **variables: str) -> dict[str, str]:
    """The environment of every service: the caller's without its own settings, that of the stack, and ``variables``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LIPSTAGE_", "KAFKA_", "AWS_", "OTEL_"))}
    own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", processes.MARK: mark}
    return {**inherited, **of_stack, **own, **variables}
