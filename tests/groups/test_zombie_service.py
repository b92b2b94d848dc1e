"""A real stage service that is frozen beyond its session: one task is sent on, one attempt's artifacts remain."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.one_stage import OneStage
from bench.one_stage_handler import RUNS, UNCONFINED
from shared.local import ports, readiness
from shared.runtime.settings import RuntimeSettings
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.conftest import Infrastructure, apply_topics

WAIT_S = 120.0


def until(reached: Callable[[], bool], what: str) -> None:
    """Poll until ``reached``."""
    end, turn = time.monotonic() + WAIT_S, threading.Event()
    while not reached():
        assert time.monotonic() < end, what
        turn.wait(0.05)


class Services:
    """Replicas of one face service; each has a log file."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.runs = folder / "runs"
        self.runs.touch()
        self.logs: list[Path] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._environment = {
            **os.environ,
            "LIPSTAGE_TOPIC_PREFIX": prefix,
            "LIPSTAGE_GROUP_PROTOCOL": "consumer",
            RUNS: str(self.runs),
            **UNCONFINED,
        }

    def start(self) -> None:
        """Start a replica and wait until it is ready."""
        (port,) = ports.pick(1)
        self.logs.append(self._folder / f"{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            environment = self._environment | {"LIPSTAGE_HEALTH_PORT": str(port)}
            command = [sys.executable, "-m", "bench.one_stage"]
            self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        until(lambda: readiness.serves(port), "a ready service")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def services(stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[Services]:
    apply_topics(RuntimeSettings(topic_prefix=topic_prefix))
    with closing(Services(tmp_path, topic_prefix)) as made:
        yield made


def test_zombie_service_makes_no_second_output(
    services: Services, stack: Infrastructure, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker process is not frozen, so that the result is there when the service continues."""
    services.start()
    with closing(OneStage(stack.bootstrap_servers, services.runs, topic_prefix)) as stage:
        job = stage.send(stage.task(do="sleep", seconds="4"))
        until(lambda: len(stage.runs(job)) == 1, "the first run")
        services.processes[0].send_signal(signal.SIGSTOP)
        services.start()
        stage.wait(job)
        services.processes[0].send_signal(signal.SIGCONT)
        until(lambda: "partition_lost" in services.logs[0].read_text(), "the zombie's outcome")
        # The zombie works again: the next tasks of all partitions are sent on, and nothing of the old one before them.
        stage.wait(stage.send(stage.task()))
        assert stage.count(job) == 1
        assert len(stage.runs(job)) == 2
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    store = ObjectStore.open(StorageSettings())
    left = [found.key for found in store.artifacts.list_prefix(f"jobs/default/{job}/face/")]
    assert len(left) == 1, left
