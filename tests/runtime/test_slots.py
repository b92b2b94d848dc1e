"""The slots of a service: a worker that dies while nothing is to do."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Queue

import pytest

from shared.runtime.record import PartitionAssignment, Record
from shared.runtime.slots import Slots
from shared.runtime.waiting import Abandoned
from shared.runtime.worker_process import HandlerUnavailable, WorkerDied, WorkerProcess
from shared.slot.spec import StageSpec

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})


def test_an_idle_worker_that_dies_is_replaced_with_no_task_to_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    start = WorkerProcess.start
    started: Queue[int | None] = Queue()

    def noted(worker: WorkerProcess, variables: Mapping[str, str]) -> float:
        seconds = start(worker, variables)
        started.put(worker.pid)
        return seconds

    monkeypatch.setattr(WorkerProcess, "start", noted)
    failures: list[str] = []
    slots = Slots(SPEC, "puppet", 1, lambda *_: None, failures.append)
    slots.start()
    try:
        first = started.get(timeout=30)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert started.get(timeout=30) not in (None, first)
        assert failures == []
    finally:
        slots.close()


def test_a_record_whose_worker_can_not_be_started_again_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the service would wait its whole drain for a slot that has ended."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    start = WorkerProcess.start
    started: Queue[int | None] = Queue()

    starts = iter([start])

    def once(worker: WorkerProcess, variables: Mapping[str, str]) -> float:
        first = next(starts, None)
        if first is None:
            raise WorkerDied("no memory")
        seconds = first(worker)
        started.put(worker.pid)
        return seconds

    monkeypatch.setattr(WorkerProcess, "start", once)
    monkeypatch.setattr(Slots, "_next", lambda slots, *_: slots._queue.get())
    failures: list[str] = []
    given_up: Queue[Record] = Queue()
    slots = Slots(SPEC, "puppet", 1, lambda *_: None, failures.append)
    slots.on_abandoned = lambda record, _: given_up.put(record)
    slots.start()
    try:
        pid = started.get(timeout=30)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        record = Record("topic", 0, 7, None, None, [], 0)
        slots.feed(record, PartitionAssignment("topic", 0))
        assert given_up.get(timeout=30) is record
    finally:
        slots.close()
    assert failures
    assert "no memory" in failures[0]


def test_a_record_that_is_given_back_ends_neither_slot_nor_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))

    def settle(record: Record, *_: object) -> None:
        if record.offset == 7:
            raise Abandoned

    failures: list[str] = []
    ends: Queue[tuple[str, int]] = Queue()
    slots = Slots(SPEC, "puppet", 1, settle, failures.append)
    slots.on_abandoned = lambda record, _: ends.put(("given back", record.offset))
    slots.on_done = lambda record, _: ends.put(("settled", record.offset))
    slots.start()
    try:
        for offset in (7, 8):
            slots.feed(Record("topic", 0, offset, None, None, [], 0), PartitionAssignment("topic", 0))
        assert [ends.get(timeout=30) for _ in range(2)] == [("given back", 7), ("settled", 8)]
        assert failures == []
    finally:
        slots.close()


def test_a_wait_for_the_machine_is_not_the_tasks_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a disk that is full for an hour would have the service killed for a task that hangs."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    seen: Queue[float] = Queue()

    def settle(*_: object) -> None:
        monkeypatch.setattr("shared.runtime.slots.time.monotonic", lambda: began + 5000)
        slots.extend(4990)
        seen.put(slots.longest_s)

    began = time.monotonic()
    slots = Slots(SPEC, "puppet", 1, settle, lambda _: None)
    monkeypatch.setattr(Slots, "_revive", lambda *_: None)
    slots.start()
    try:
        slots.feed(Record("topic", 0, 7, None, None, [], 0), PartitionAssignment("topic", 0))
        assert seen.get(timeout=30) <= 10
    finally:
        monkeypatch.undo()
        slots.close()


def test_a_handler_that_lacks_something_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service is up and says why; as soon as what was missing is there, it works."""
    needed = tmp_path / "weights"
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("TRIAL_NEEDS", str(needed))
    monkeypatch.setattr("shared.runtime.slots.FIRST_PAUSE_S", 0.01)
    start = WorkerProcess.start
    tried: Queue[str] = Queue()

    def noted(worker: WorkerProcess, variables: Mapping[str, str]) -> float:
        try:
            seconds = start(worker, variables)
        except HandlerUnavailable as e:
            tried.put(str(e))
            raise
        tried.put("loaded")
        return seconds

    monkeypatch.setattr(WorkerProcess, "start", noted)
    failures: list[str] = []
    spec = StageSpec(name="trial", handler="tests.runtime.needing_handler", inputs={})
    slots = Slots(spec, "puppet", 1, lambda *_: None, failures.append)
    slots.start()
    try:
        assert tried.get(timeout=30) == "there are no weights; fetch them"
        assert tried.get(timeout=30) == "there are no weights; fetch them", "it is tried again"
        assert slots.unavailable == "there are no weights; fetch them"
        assert not slots.ready
        needed.touch()
        while tried.get(timeout=30) != "loaded":
            pass
        assert slots._ready[0].wait(30)
        assert slots.unavailable is None
        assert failures == []
    finally:
        slots.close()


def test_a_service_that_ends_while_its_model_loads_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loading = tmp_path / "loading"
    os.mkfifo(loading)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("TRIAL_LOADING", str(loading))
    failures: list[str] = []
    spec = StageSpec(name="trial", handler="tests.runtime.loading_handler", inputs={})
    slots = Slots(spec, "puppet", 1, lambda *_: None, failures.append)
    slots.start()
    assert loading.read_text() == "loading"
    slots.close()
    slots._threads[0].join(30)
    assert not slots._threads[0].is_alive()
    assert failures == []
