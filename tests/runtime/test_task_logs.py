"""Every log line of a task names its job, attempt and trace, whichever process and code wrote it."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from shared.runtime.execute.worker_output import MAX_LINES
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import DeliveryFailed, WorkerDied
from shared.slot import records
from shared.slot.spec import StageSpec
from tests.conftest import Infrastructure
from tests.runtime.log_lines import Lines, captured
from tests.runtime.memory_stage import FACE, MemoryStage
from tests.runtime.real_stage import RealStage, task
from tests.runtime.test_worker_process import ignore, never, work

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})
TRACE = "a" * 32
HEADERS: list[tuple[str, bytes | None]] = [("traceparent", f"00-{TRACE}-{'b' * 16}-01".encode())]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with captured("face") as lines:
        yield lines


@pytest.fixture
def worker(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerProcess]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    process = WorkerProcess(SPEC, "puppet")
    process.start()
    yield process
    process.stop()


def test_every_line_of_a_task_names_job_tenant_attempt_and_trace(tmp_path: Path, lines: Lines) -> None:
    rig = MemoryStage(FACE, tmp_path)

    def die_then_fail(_: records.Work) -> records.WorkResult:
        logging.getLogger("library").warning("of a library")
        structlog.get_logger().info("of ours")
        if rig.worker.runs == 1:
            raise WorkerDied("killed")
        return records.HandlerFailed(exception="E", message="m", stack="")

    rig.worker.answer = die_then_fail
    rig.handle(rig.task().dump(), HEADERS)
    names = [line["event"] for line in lines()]
    assert names == [
        "of a library",
        "of ours",
        "worker_died",
        "of a library",
        "of ours",
        "task_retried",
        "task_settled",
    ]
    assert {(line["job"], line["tenant"], line["trace_id"]) for line in lines()} == {(rig.job, "default", TRACE)}
    assert [line["attempt"] for line in lines()] == [1, 1, 1, 2, 2, 2, 2]


IDS = ("job", "attempt", "trace_id", "span_id")


@pytest.mark.parametrize("do", ["write text", "fail", "die loudly", "reject", "upload and fail", "flood records"])
def test_every_line_of_a_task_of_a_real_stage_has_all_four_ids(
    do: str, stack: Infrastructure, topic_prefix: str, tmp_path: Path, lines: Lines
) -> None:
    """Also those of the worker process, of its output, and of the threads that transfer files."""
    stage = RealStage(topic_prefix, tmp_path, max_attempts=2)
    try:
        given = task(do, what="logs")
        before = len(lines())
        stage.submit(given, HEADERS).result(60)
        of_task = lines()[before:]
    finally:
        stage.close()
    assert of_task[-1]["event"] == "task_settled"
    assert [line for line in of_task if not all(line.get(name) for name in IDS)] == []
    assert {(line["job"], line["trace_id"]) for line in of_task} == {(given.job_id, TRACE)}
    spans = {format(span.context.span_id, "016x") for span in stage.spans.get_finished_spans() if span.context}
    assert {line["span_id"] for line in of_task} <= spans


def test_line_after_the_span_has_ended_has_the_ids_of_the_task(tmp_path: Path, lines: Lines) -> None:
    """As the slot's line `record_not_settled`."""
    rig = MemoryStage(FACE, tmp_path)
    rig.producers.errors["render.events"] = DeliveryFailed("the broker is away")
    with pytest.raises(DeliveryFailed):
        rig.handle(rig.task().dump(), HEADERS)
    structlog.get_logger().warning("record_not_settled")
    assert all(lines()[-1].get(name) for name in IDS)
    assert (lines()[-1]["job"], lines()[-1]["trace_id"]) == (rig.job, TRACE)


def test_lines_after_a_task_do_not_name_its_job(tmp_path: Path, lines: Lines) -> None:
    rig = MemoryStage(FACE, tmp_path)
    rig.handle(rig.task().dump())
    structlog.get_logger().info("idle")
    settled, idle = lines()
    assert (settled["event"], settled["outcome"]) == ("task_settled", "done")
    assert not {"job", "tenant", "attempt", "trace_id", "span_id"} & set(idle)


def of_worker(lines: Lines) -> list[dict[str, Any]]:
    return [line for line in lines() if line["event"].startswith("worker_output")]


def test_output_of_a_worker_is_logged_with_the_job(worker: WorkerProcess, lines: Lines, tmp_path: Path) -> None:
    with structlog.contextvars.bound_contextvars(job="job-1", attempt=2, trace_id=TRACE):
        assert isinstance(worker.run(work(tmp_path, "write text"), ignore, never, 30), records.Finished)
        worker.kill()
        worker._output.finish(30)
    logged = of_worker(lines)
    texts = " ".join(line["text"] for line in logged)
    assert all(text in texts for text in ("printed", "native library", "logged", "warned"))
    assert {(line["job"], line["attempt"], line["trace_id"]) for line in logged} == {("job-1", 2, TRACE)}
    assert max(len(line["text"]) for line in logged) <= 2000


def test_last_output_of_a_dead_worker_is_logged(worker: WorkerProcess, lines: Lines, tmp_path: Path) -> None:
    with structlog.contextvars.bound_contextvars(job="job-1"), pytest.raises(WorkerDied):
        worker.run(work(tmp_path, "die loudly"), ignore, never, 30)
    assert [(line["text"], line["job"]) for line in of_worker(lines)] == [("fatal error in the decoder", "job-1")]


def test_endless_output_of_a_worker_is_cut_and_the_task_completes(
    worker: WorkerProcess, lines: Lines, tmp_path: Path
) -> None:
    assert isinstance(worker.run(work(tmp_path, "write without end"), ignore, never, 30), records.Finished)
    worker.kill()
    worker._output.finish(30)
    *shown, dropped = of_worker(lines)
    assert len(shown) == MAX_LINES
    assert (dropped["event"], dropped["lines"]) == ("worker_output_dropped", 10_000 - MAX_LINES)
