"""Each program has its own time to stop."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.local import processes, services, stack_file
from shared.local import stack as local
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import ServiceRecord, Stack

BUSY = (
    "trap 'echo > stopping; read line < may_end; echo > ended; exit 0' TERM; echo > ready; while :; do sleep 0.05; done"
)
IGNORING = "trap '' TERM; echo > ready; while :; do sleep 0.05; done"


@dataclass(frozen=True)
class Running:
    """A supervisor with one program whose trap is set."""

    stack: Stack

    @property
    def folder(self) -> Path:
        return self.stack.supervisor().run

    def await_file(self, name: str) -> None:
        """Wait until the program has written it; each request to the supervisor is a poll."""
        deadline = time.monotonic() + 30
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, self.stack.supervisor().programs()
            self.stack.supervisor().programs()


def running(own: LocalSettings, script: str, stop_seconds: int) -> Running:
    stack = stack_file.fresh(own.state)
    stack.sockets = stack_file.socket_folder(own.state)
    stack.save()
    supervisor = stack.supervisor()
    supervisor.run.mkdir()
    os.mkfifo(supervisor.run / "may_end")
    supervisor.write([Program("one", ("/bin/bash", "-c", script), stop_seconds=stop_seconds)])
    supervisor.start()
    started = Running(stack)
    started.await_file("ready")
    return started


def test_down_waits_for_a_busy_program(own: LocalSettings) -> None:
    busy = running(own, BUSY, stop_seconds=60)
    down = threading.Thread(target=local.down, args=(own,))
    down.start()
    busy.await_file("stopping")
    assert down.is_alive()
    (busy.folder / "may_end").write_text("now\n")
    down.join(30)
    assert not down.is_alive()
    assert (busy.folder / "ended").exists(), "it ended by itself, without SIGKILL"
    assert not processes.stack_processes(busy.stack.mark)


def test_program_is_killed_after_its_stop_time(own: LocalSettings) -> None:
    ignoring = running(own, IGNORING, stop_seconds=1)
    local.down(own)
    assert not processes.stack_processes(ignoring.stack.mark)


@pytest.mark.parametrize(("drain_s", "stop_seconds"), [(20.0, 25), (0.5, 6), (300.0, 305)])
def test_stop_time_is_drain_plus_shutdown(own: LocalSettings, drain_s: float, stop_seconds: int) -> None:
    record = ServiceRecord(name="audio-0", stage="audio", engine=None, topic="t", group="g", health_port=1)
    settings = own.model_copy(update={"drain_s": drain_s})
    program = services.program(settings, stack_file.fresh(own.state), record)
    assert program.stop_seconds == stop_seconds
    assert program.env["LIPSTAGE_DRAIN_S"] == str(drain_s)


def test_scale_decides_the_replicas(own: LocalSettings) -> None:
    stack = stack_file.fresh(own.state)
    scale = {"infer": 3, "face": 0}
    names = [record.name for record in services.records(own, stack, scale)]
    assert names == ["audio-0", "infer-puppet-0", "infer-puppet-1", "infer-puppet-2", "encode-0", "relay-0"]
