"""A stage that starts before its task is there: whatever becomes of the stage before, of the job or of the worker, each
task is processed once and as if nothing had started early."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.execute.deferred_telemetry import DeferredTelemetry
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.settings import RuntimeSettings
from shared.storage import keys
from shared.telemetry import metrics
from tests.conftest import Infrastructure, temporary_topics
from tests.runtime import real_stage
from tests.runtime.early_stage import EarlyStage

DONE = ["started", "progress", "progress", "finished"]


@pytest.fixture(scope="module")
def only(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EarlyStage]:
    with temporary_topics(stack.bootstrap_servers) as prefix, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(real_stage.ROOT))
        one = EarlyStage(prefix, tmp_path_factory.mktemp("scratch"))
        yield one
        one.close()


@pytest.fixture
def stage(only: EarlyStage) -> Iterator[EarlyStage]:
    yield only
    only.real.cancelled.jobs.clear()
    only.assignment.held = True
    assert only.fatal == []
    assert only.real.dead_letters() == []
    assert only.real.event_types() == []


def test_task_takes_the_attempt_that_started_early(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    counts = stage.read(early)
    maker.announce("b")
    while counts.get(timeout=30) < 2:
        pass
    assert stage.real.event_types() == [], "nothing is published early"
    maker.announce("c")
    task = maker.finished()
    types = stage.settle(task)
    assert (types[0], types[-1]) == ("started", "finished")
    assert stage.joined(task) == f"a b c {maker.attempt}", "the handler has the task's outputs at the end"
    assert stage.output(task).attempt == early.attempt.id
    assert stage.real.producers.tasks, "the next stage has its task"
    assert early.taken


def test_chunks_without_notices_are_read_from_the_manifest(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    maker.store("b")
    maker.announce("c")
    task = maker.finished()
    stage.settle(task)
    assert stage.joined(task) == f"a b c {maker.attempt}"


def test_maker_that_fails_leaves_the_slot_to_the_next_task(stage: EarlyStage) -> None:
    failed, other = stage.maker(), stage.maker()
    failed.announce("a")
    early = stage.started(failed)
    other.store("x")
    task = other.finished()
    preempted = metrics.EARLY_STARTS.labels("face", "preempted")
    before = preempted._value.get()
    stage.settle(task)
    assert early.ended
    assert preempted._value.get() == before + 1
    assert not early.taken
    assert stage.joined(task) == f"x {other.attempt}"


def test_silent_maker_ends_the_early_start(stage: EarlyStage, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    stage.early.check()
    assert not early.ended, "it is expected to go on"
    later = time.monotonic() + 3600
    monkeypatch.setattr("shared.runtime.process.early_starts.time.monotonic", lambda: later)
    stage.early.check()
    monkeypatch.undo()
    assert early._ended.wait(30)
    assert stage.early._jobs == {}


def test_redelivered_maker_replaces_the_first_attempt(stage: EarlyStage) -> None:
    """Killed after its first chunk: the next attempt announces its own."""
    killed = stage.maker()
    killed.announce("a")
    first = stage.started(killed)
    again = stage.maker()
    again.task = killed.task
    again.announce("A")
    assert first._ended.wait(30)
    again.announce("B")
    task = again.finished()
    stage.settle(task)
    assert stage.joined(task) == f"A B {again.attempt}"


def test_attempt_without_notices_wins(stage: EarlyStage) -> None:
    """A zombie's chunks are worked on, and its competitor completes the stage: its chunks count."""
    zombie, winner = stage.maker(), stage.maker()
    winner.task = zombie.task
    zombie.announce("z")
    early = stage.started(zombie)
    winner.store("w")
    task = winner.finished()
    stage.settle(task)
    assert not early.taken
    assert stage.joined(task) == f"w {winner.attempt}"
    zombie.announce("later")
    stage.early.check()
    assert stage.early._jobs == {}


def test_manifest_with_another_chunk_is_worked_on_from_the_start(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    counts = stage.read(stage.started(maker))
    assert counts.get(timeout=30) == 1
    maker.chunks.clear()
    maker.store("b")
    task = maker.finished()
    stage.settle(task)
    assert stage.joined(task) == f"b {maker.attempt}"


def test_cancel_ends_the_early_start_without_an_event(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    stage.real.cancelled.jobs.add(maker.task.job_id)
    stage.early.check()
    assert early._ended.wait(30)
    assert stage.real.event_types() == []
    assert stage.settle(maker.finished()) == ["failed"]


def test_cancel_of_a_taken_attempt_ends_the_job(stage: EarlyStage) -> None:
    maker = stage.maker("wait")
    maker.announce("a")
    counts = stage.read(stage.started(maker))
    counts.get(timeout=30)
    stage.submit(maker.finished())
    stage.real.until("started")
    stage.real.cancelled.jobs.add(maker.task.job_id)
    assert stage.completions.get(timeout=60).settled
    assert stage.real.event_types()[-1] == "failed"
    stage.real.producers.events.queue.clear()
    assert stage.workers[0].pid is not None, "the model stays loaded"


def test_worker_killed_early_counts_as_no_attempt(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    counts = stage.read(early)
    counts.get(timeout=30)
    pid = stage.workers[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert early._ended.wait(30)
    task = maker.finished()
    stage.submit(task)
    started = stage.real.until("started")
    assert stage.completions.get(timeout=60).settled
    stage.real.producers.events.queue.clear()
    assert (started.attempt, stage.output(task).attempts) == (1, 1)  # type: ignore[union-attr]
    assert stage.joined(task) == f"a {maker.attempt}"


def test_worker_killed_after_the_task_came_counts(stage: EarlyStage) -> None:
    maker = stage.maker("wait")
    maker.announce("a")
    early = stage.started(maker)
    stage.read(early).get(timeout=30)
    stage.submit(maker.finished())
    assert stage.real.until("started").attempt == 1  # type: ignore[union-attr]
    pid = stage.workers[0].pid
    assert pid is not None
    assert early.taken
    os.kill(pid, signal.SIGKILL)
    assert stage.real.until("started").attempt == 2  # type: ignore[union-attr]
    stage.real.cancelled.jobs.add(maker.task.job_id)
    assert stage.completions.get(timeout=60).settled
    stage.real.producers.events.queue.clear()


def test_task_that_comes_first_is_done_once(stage: EarlyStage) -> None:
    """Notices that are read late find the stage complete."""
    maker = stage.maker()
    maker.store("a")
    task = maker.finished()
    stage.settle(task)
    first = stage.output(task)
    maker.chunks.clear()
    maker.announce("a")
    early = stage.started(maker)
    assert early._ended.wait(30)
    assert stage.output(task) == first
    assert not early.attempt.prefix, "it has read and written nothing"


def test_lost_marker_lets_a_redelivery_work_again(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    task = maker.finished()
    stage.settle(task)
    assert early.taken
    stage.real.store.artifacts.delete([keys.marker("default", task.job_id, "face")])
    assert stage.settle(task)[-1] == "finished"
    assert stage.output(task).attempt != early.attempt.id


def test_lost_chunk_is_the_task_s_failure(stage: EarlyStage) -> None:
    maker = stage.maker()
    chunk = maker.store("a")
    maker.chunks.clear()
    maker.announce("a", ref=chunk.ref.model_copy(update={"sha256": "0" * 64}))
    early = stage.started(maker)
    assert early._ended.wait(60)
    assert stage.real.event_types() == []
    task = maker.finished()
    stage.settle(task)
    assert stage.joined(task) == f"a {maker.attempt}"


def test_lost_partition_ends_the_early_start(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    stage.assignment.held = False
    stage.early.check()
    assert early._ended.wait(30)


@pytest.mark.parametrize(
    "fields",
    [{"partition": 1}, {"topic": "render.other"}, {"remaining_s": None}, {"remaining_s": 121.0}, {"role": "sound"}],
)
def test_early_start_needs_the_partition_and_an_end_in_sight(stage: EarlyStage, fields: dict[str, object]) -> None:
    maker = stage.maker()
    maker.announce("a", **fields)
    announced = stage.early._jobs.get(("default", maker.task.job_id))
    assert announced is None or announced.early is None


def test_long_render_is_started_on_when_its_end_is_near(stage: EarlyStage) -> None:
    maker = stage.maker()
    maker.announce("a", remaining_s=4000.0)
    maker.announce("b", remaining_s=100.0)
    early = stage.started(maker)
    maker.announce("c", remaining_s=50.0)
    task = maker.finished()
    stage.settle(task)
    assert early.taken
    assert stage.joined(task) == f"a b c {maker.attempt}"


def test_chunk_outside_the_attempt_is_not_read(stage: EarlyStage, tmp_path: Path) -> None:
    maker = stage.maker()
    other = stage.real.store.artifacts.put_bytes(b"secret", "jobs/other/j/audio/x/frames-00000.bin")
    maker.announce("a", ref=other)
    assert stage.early._jobs["default", maker.task.job_id].early is None


def test_attempt_that_is_withdrawn_while_its_task_takes_it_has_ended_when_the_task_goes_on(
    stage: EarlyStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads at one worker would read each other's results."""
    maker = stage.maker()
    maker.announce("a")
    early = stage.started(maker)
    complete = early._sequence.complete

    def complete_and_withdraw(*arguments: Any) -> None:
        complete(*arguments)
        early.withdraw("expired")

    monkeypatch.setattr(early._sequence, "complete", complete_and_withdraw)
    taken = early.take(maker.finished(), DeferredTelemetry(), lambda: False)  # type: ignore[arg-type]
    assert not taken
    assert early.ended


def test_slot_is_free_after_a_thread_that_could_not_start(stage: EarlyStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    maker = stage.maker()
    with monkeypatch.context() as patch:
        patch.setattr(EarlyAttempt, "start", refuse)
        with pytest.raises(RuntimeError):
            maker.announce("a")
    task = maker.finished()
    assert stage.settle(task)[-1] == "finished"


def test_early_start_for_another_tenant_has_a_process_of_its_own(stage: EarlyStage) -> None:
    before = stage.maker()
    before.store("a")
    stage.settle(before.finished())
    (worker,) = stage.workers
    old = worker.pid
    maker = stage.maker(tenant="other")
    maker.announce("b")
    early = stage.started(maker)
    stage.read(early).get(timeout=30)
    assert worker.pid not in (None, old)
    task = maker.finished()
    stage.settle(task)
    assert early.taken
    assert stage.joined(task) == f"b {maker.attempt}"


def test_task_of_another_tenant_stops_the_early_start_and_has_a_process_of_its_own(stage: EarlyStage) -> None:
    maker = stage.maker(tenant="other")
    maker.announce("a")
    early = stage.started(maker)
    stage.read(early).get(timeout=30)
    (worker,) = stage.workers
    old = worker.pid
    urgent = stage.maker()
    urgent.store("b")
    task = urgent.finished()
    stage.settle(task)
    assert early.ended
    assert not early.taken
    assert worker.pid not in (None, old)
    assert stage.joined(task) == f"b {urgent.attempt}"


def test_deaths_of_alternating_tenants_are_counted_and_changes_of_the_process_are_not(stage: EarlyStage) -> None:
    deaths: list[int] = []
    stage.assignment.count_crash = deaths.append
    try:
        for tenant in ("default", "other", "default"):
            maker = stage.maker(tenant=tenant)
            maker.store("a")
            stage.settle(maker.finished())
        assert deaths == []
        maker = stage.maker("die", tenant="other")
        maker.store("a")
        stage.submit(maker.finished())
        assert stage.completions.get(timeout=60).settled
        assert len(deaths) == RuntimeSettings().max_crashes
        stage.real.producers.events.queue.clear()
        stage.real.producers.sent.clear()
    finally:
        stage.assignment.count_crash = lambda _: None
