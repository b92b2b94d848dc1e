"""The slots of a service: loading, restarts, abandoned records, the slot clock."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Queue

import pytest

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.failures import Abandoned, DeliveryFailed, HandlerUnavailable, WorkerDied
from shared.slot.spec import StageSpec

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})


def make_slots(
    fatal: Callable[[str], None],
    handle: Callable[..., None] = lambda *_: None,
    completions: Completions | None = None,
    clock: SlotClock | None = None,
    spec: StageSpec = SPEC,
) -> WorkerSlots:
    """One slot."""
    worker = WorkerProcess(spec, "puppet")
    return WorkerSlots("trial", [worker], handle, completions or Completions(), clock or SlotClock(), fatal)


def test_idle_worker_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    start = WorkerProcess.start
    started: Queue[int | None] = Queue()

    def recorded(worker: WorkerProcess, variables: Mapping[str, str]) -> float:
        seconds = start(worker, variables)
        started.put(worker.pid)
        return seconds

    monkeypatch.setattr(WorkerProcess, "start", recorded)
    failures: list[str] = []
    slots = WorkerSlots(
        "trial", [WorkerProcess(SPEC, "puppet")], lambda *_: None, Completions(), SlotClock(), failures.append
    )
    slots.start()
    try:
        first = started.get(timeout=30)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert started.get(timeout=30) not in (None, first)
        assert failures == []
    finally:
        slots.close()


def test_record_is_returned_unsettled_when_its_worker_cannot_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the service would wait its whole drain for a slot that has ended."""
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
    monkeypatch.setattr(WorkerSlots, "_next", lambda _, slot: slot.inbox.get())
    failures: list[str] = []
    completions = Completions()
    slots = WorkerSlots(
        "trial", [WorkerProcess(SPEC, "puppet")], lambda *_: None, completions, SlotClock(), failures.append
    )
    slots.start()
    try:
        pid = started.get(timeout=30)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        record = Record("topic", 0, 7, None, None, [], 0)
        assignment = PartitionAssignment("topic", 0)
        slots.submit(record, assignment)
        assert completions.get(timeout=30) == Completion(record, assignment, settled=False)
    finally:
        slots.close()
    assert failures
    assert "no memory" in failures[0]


def test_abandoned_record_ends_neither_slot_nor_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))

    def settle(record: Record, *_: object) -> None:
        if record.offset == 7:
            raise Abandoned

    failures: list[str] = []
    completions = Completions()
    slots = make_slots(failures.append, settle, completions)
    slots.start()
    try:
        for offset in (7, 8):
            slots.submit(Record("topic", 0, offset, None, None, [], 0), PartitionAssignment("topic", 0))
        done = [completions.get(timeout=30) for _ in range(2)]
        assert [(one.record.offset, one.settled) for one in done] == [(7, False), (8, True)]
        assert failures == []
    finally:
        slots.close()


def test_wait_for_disk_is_not_counted_as_task_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a disk that is full for an hour would fail liveness, as a hanging task does."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    seen: Queue[float] = Queue()

    def settle(*_: object) -> None:
        monkeypatch.setattr("shared.runtime.execute.worker_slots.time.monotonic", lambda: started_at + 5000)
        clock.extend(4990)
        seen.put(clock.longest_s)

    started_at = time.monotonic()
    clock = SlotClock()
    slots = make_slots(lambda _: None, settle, clock=clock)
    monkeypatch.setattr(WorkerSlots, "_revive", lambda *_: None)
    slots.start()
    try:
        slots.submit(Record("topic", 0, 7, None, None, [], 0), PartitionAssignment("topic", 0))
        assert seen.get(timeout=30) <= 10
    finally:
        monkeypatch.undo()
        slots.close()


def test_handler_is_loaded_once_its_requirement_is_met(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Until then the service runs and reports the reason."""
    needed = tmp_path / "weights"
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("TRIAL_NEEDS", str(needed))
    monkeypatch.setattr("shared.runtime.execute.worker_slots.FIRST_PAUSE_S", 0.01)
    start = WorkerProcess.start
    tried: Queue[str] = Queue()

    def recorded(worker: WorkerProcess, variables: Mapping[str, str]) -> float:
        try:
            seconds = start(worker, variables)
        except HandlerUnavailable as e:
            tried.put(str(e))
            raise
        tried.put("loaded")
        return seconds

    monkeypatch.setattr(WorkerProcess, "start", recorded)
    failures: list[str] = []
    spec = StageSpec(name="trial", handler="tests.runtime.needing_handler", inputs={}, variables=("TRIAL_*",))
    slots = WorkerSlots(
        "trial", [WorkerProcess(spec, "puppet")], lambda *_: None, Completions(), SlotClock(), failures.append
    )
    slots.start()
    try:
        assert tried.get(timeout=30) == "there are no weights; fetch them"
        assert tried.get(timeout=30) == "there are no weights; fetch them", "the load is repeated"
        assert slots.unavailable == "there are no weights; fetch them"
        assert not slots.ready
        needed.touch()
        while tried.get(timeout=30) != "loaded":
            pass
        assert slots._slots[0].ready.wait(30)
        assert slots.unavailable is None
        assert failures == []
    finally:
        slots.close()


def test_shutdown_during_model_load_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loading = tmp_path / "loading"
    os.mkfifo(loading)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("TRIAL_LOADING", str(loading))
    failures: list[str] = []
    spec = StageSpec(name="trial", handler="tests.runtime.loading_handler", inputs={}, variables=("TRIAL_*",))
    # Unconfined: it writes to a FIFO of the test.
    worker = WorkerProcess(spec, "puppet", confinement="off")
    slots = WorkerSlots("trial", [worker], lambda *_: None, Completions(), SlotClock(), failures.append)
    slots.start()
    assert loading.read_text() == "loading"
    slots.close()
    slots._threads[0].join(30)
    assert not slots._threads[0].is_alive()
    assert failures == []


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ValueError("a bug"), [7]),
        (OSError("the disk"), []),
        (DeliveryFailed("the broker"), []),
        (Abandoned("stop"), []),
    ],
)
def test_bug_that_ends_the_service_counts_as_a_death_of_its_record(
    monkeypatch: pytest.MonkeyPatch, error: Exception, counted: list[int]
) -> None:
    """Otherwise the record would end one service after the other, for ever."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))

    def handle(*_: object) -> None:
        raise error

    completions, deaths = Completions(), list[int]()
    slots = make_slots(lambda _: None, handle, completions)
    slots.start()
    try:
        assignment = PartitionAssignment("t", 0)
        assignment.count_crash = deaths.append
        slots.submit(Record("t", 0, 7, None, b"", [], 0), assignment)
        assert not completions.get(timeout=60).settled
        assert deaths == counted
    finally:
        slots.close()
