"""Deadlines of requests and cancel commands, at every point where a stage checks them; the broker's clock decides."""

import time
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Record
from shared.runtime.execute import worker_process
from shared.runtime.process.deadlines import Deadlines
from shared.slot import records
from shared.storage.errors import StoreUnavailable
from tests.runtime import real_stage
from tests.runtime.memory import finished
from tests.runtime.memory_stage import FRONT, MemoryStage
from tests.runtime.real_stage import RealStage

SUBMITTED_MS = 1_800_000_000_000
DEADLINE_S = 60


def late(stage: MemoryStage, seconds: float) -> None:
    """The broker's clock is so many seconds after the submission."""
    stage.producers.clock.observe(SUBMITTED_MS + int(seconds * 1000))


def task(stage: MemoryStage) -> RenderTask:
    return stage.task(deadline_s=DEADLINE_S).model_copy(update={"submitted_ms": SUBMITTED_MS})


@pytest.mark.parametrize(("after_s", "expired"), [(59.0, False), (61.0, True)])
def test_task_that_arrives_too_late_ends_its_job_without_work(face: MemoryStage, after_s: float, expired: bool) -> None:
    late(face, after_s)
    face.handle(task(face).dump())
    assert (face.worker.runs == 0) is expired
    if expired:
        assert (face.end().type, face.end().code) == ("failed", Code.EXPIRED)
        assert (face.producers.dead_letters(), face.producers.retries()) == ([], [])


def test_task_without_a_deadline_never_expires(face: MemoryStage) -> None:
    late(face, 1e9)
    face.handle(face.task().dump())
    assert face.types()[-1] == "finished"


def test_clock_of_this_machine_expires_no_job(face: MemoryStage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10**9 * 3600 * 24 * 365)
    face.handle(task(face).dump())
    assert face.types()[-1] == "finished"


def test_deadline_is_checked_before_each_attempt(face: MemoryStage) -> None:
    def die(_: records.Work) -> records.WorkResult:
        late(face, 61)
        raise worker_process.WorkerDied("killed")

    face.worker.answer = die
    face.handle(task(face).dump())
    assert (face.worker.runs, face.end().code) == (1, Code.EXPIRED)


def test_delivery_report_of_the_start_tells_the_time(face: MemoryStage) -> None:
    """The newest record that was read may be hours old; the report of the event is not."""
    late(face, 1)

    flush = type(face.processor._events).flush

    def reported(events: Any) -> None:
        flush(events)
        late(face, 3600)

    face.processor._events.flush = lambda: reported(face.processor._events)  # type: ignore[method-assign]
    face.handle(task(face).dump())
    assert (face.worker.runs, face.end().code) == (0, Code.EXPIRED)


def test_deadline_ends_a_wait_for_the_store(tmp_path: Path, face: MemoryStage) -> None:
    def stopped(_: records.Work) -> records.WorkResult:
        late(face, 61)
        return records.CancelledTask()

    face.worker.answer = stopped
    face.handle(task(face).dump())
    assert face.end().code == Code.EXPIRED, "and not CANCELLED"


def test_deadline_of_a_retried_request_counts_from_its_first_record(tmp_path: Path) -> None:
    front = MemoryStage(FRONT, tmp_path)

    def unavailable(_: records.Work) -> records.WorkResult:
        raise StoreUnavailable("503")

    front.worker.answer = unavailable
    ref = InputRef(key="default/x")
    value = RenderRequest(portrait=ref, speech=ref, deadline_s=DEADLINE_S).model_dump_json(exclude_none=True).encode()
    front.processor.handle(
        Record("t", 0, 7, front.job.encode(), value, [], SUBMITTED_MS), front.assignment, front.worker
    )
    ((_, value, headers),) = [(topic, value or b"", headers) for topic, value, headers in front.producers.retries()]
    front.worker.answer = finished()
    later = Record("t", 0, 9, front.job.encode(), value, list(headers), SUBMITTED_MS + 61_000)
    front.processor.handle(later, front.assignment, front.worker)
    assert (front.worker.runs, front.end().code) == (1, Code.EXPIRED)


@pytest.mark.parametrize("producer_time", [True, False])
def test_only_timestamps_of_the_broker_tell_the_time(producer_time: bool) -> None:
    clock = BrokerClock()
    record = Record("t", 0, 7, None, b"", [], SUBMITTED_MS, producer_time=producer_time)
    Deadlines(clock).observe(record)
    assert (clock.now_ms() is None) is producer_time


# In a real worker process.


def with_deadline(task: RenderTask, clock: BrokerClock, seconds: float) -> RenderTask:
    """The task, with a deadline so many seconds from now."""
    now_ms = clock.now_ms()
    assert now_ms is not None
    request = task.request.model_copy(update={"deadline_s": seconds})
    return task.model_copy(update={"request": request, "submitted_ms": now_ms})


def test_deadline_and_cancel_stop_the_work_of_a_running_handler_and_keep_its_worker(stage: RealStage) -> None:
    stage.submit(real_stage.task("record nothing")).result(60)
    worker = stage.worker.pid
    expiring = with_deadline(real_stage.task("wait"), stage.producers.clock, 2.0)
    stage.submit(expiring).result(60)
    end = stage.until("failed")
    assert (end.job_id, getattr(end, "code", "")) == (expiring.job_id, "EXPIRED")
    cancelled = real_stage.task("wait")
    future = stage.submit(cancelled)
    stage.until("progress")
    stage.cancelled.jobs.add(cancelled.job_id)
    future.result(60)
    assert getattr(stage.until("failed"), "code", "") == "CANCELLED"
    assert stage.worker.pid == worker, "a model takes minutes to load"
    assert stage.dead_letters() == []


def test_handler_that_does_not_stop_is_killed_and_the_next_job_runs(
    stage: RealStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "CANCEL_GRACE_S", 0.5)
    deaf = real_stage.task("hang")
    future = stage.submit(deaf)
    stage.until("started")
    stage.cancelled.jobs.add(deaf.job_id)
    future.result(60)
    assert getattr(stage.until("failed"), "code", "") == "CANCELLED"
    assert stage.worker.pid is None
    counted: list[int] = []
    stage.assignment.count_crash = counted.append
    stage.submit(real_stage.task("record nothing")).result(60)
    assert stage.until("finished").attempt == 1
    assert counted == [], "a kill is no death of the record's"
    assert stage.dead_letters() == []
