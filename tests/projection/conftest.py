"""A projection of its own for a test: a process, on topics and with an object store that no other test uses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.client.connection import Connection
from shared.client.errors import ClientError
from shared.client.projection import Projection
from shared.local import ports
from tests.client.conftest import client, deployment, portrait, services, speech
from tests.client.services import records

__all__ = ["client", "deployment", "portrait", "services", "speech"]
START_S = 60.0


@dataclass
class Running:
    """A projection and its health port."""

    process: "subprocess.Popen[bytes]"
    log: Path
    url: str
    health_port: int

    @property
    def asked(self) -> Projection:
        return Projection(self.url)

    def position(self) -> dict[str, Any]:
        try:
            return self.asked.get("/v1/position") or {}
        except ClientError:
            return {"not_ready": "no answer", "lag": None}

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Raises AssertionError, with the end of the log, when the process ends before, or after a minute."""
        until = time.monotonic() + START_S
        while not done():
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()[-4000:]
            time.sleep(0.05)

    def wait_ready(self) -> None:
        self.wait_until(lambda: self.position()["not_ready"] is None)

    def wait_folded(self) -> None:
        """Until every record that is on the topics by now has been folded and committed."""
        since_ms = int(time.time() * 1000)

        def folded() -> bool:
            now = self.position()
            return now["not_ready"] is None and now["lag"] == 0 and now["checked_ms"] >= since_ms

        self.wait_until(folded)

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)


@dataclass
class Projections:
    """Starts projections of one deployment."""

    folder: Path
    started: list[Running] = field(default_factory=list)

    def start(self, wait: bool = True, **variables: str) -> Running:
        port, health = ports.pick(2, set())
        log = self.folder / f"projection-{len(self.started)}.log"
        environment = os.environ | {
            "LIPSTAGE_PROJECTION_PORT": str(port),
            "LIPSTAGE_HEALTH_PORT": str(health),
            **variables,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "stages.gateway.projection"], env=environment, stdout=out, stderr=out
            )
        running = Running(process, log, f"http://127.0.0.1:{port}", health)
        self.started.append(running)
        if wait:
            running.wait_ready()
        return running


@contextmanager
def started(folder: Path) -> Iterator[Projections]:
    made = Projections(folder)
    try:
        yield made
    finally:
        for running in made.started:
            running.stop(signal.SIGKILL)


@pytest.fixture
def projections(deployment: Connection, tmp_path: Path) -> Iterator[Projections]:
    with started(tmp_path) as made:
        yield made


def values(connection: Connection, topic: str, count: int) -> list[Any]:
    """The first ``count`` records of a topic."""
    reading = records(connection, topic)
    return [next(reading) for _ in range(count)]
