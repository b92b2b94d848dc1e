"""Budgets of one attempt: excess records of a worker use neither memory nor topic space; a valid render stays below."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.request import RenderRequest
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask, StageOutput
from shared.runtime.execute import budget
from shared.runtime.execute.budget import Budget, Warnings
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.failures import OverBudget, WorkerDied
from shared.slot import records
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

Make = Callable[..., RealStage]


@pytest.mark.parametrize("what", ["progress", "warnings"])
def test_flood_of_progress_is_published_as_a_few_events(stage: RealStage, what: str) -> None:
    """Without budgets 30 000 records become 30 000 events, and a task of 121 MB."""
    stage.submit(real_stage.task("flood records", what=what)).result(120)
    assert stage.dead_letters() == []
    events = [value for topic, value in stage.producers.sent if topic.endswith("render.events")]
    assert len(events) < 100
    assert sum(map(len, events)) < 100_000
    (task,) = stage.producers.tasks
    assert len(task) < MAX_ENVELOPE_BYTES
    warnings = RenderTask.parse(task).warnings
    assert len(warnings) == (budget.MAX_WARNINGS if what == "warnings" else 0)


@pytest.mark.parametrize("what", ["logs", "spans", "metrics"])
def test_excess_telemetry_is_dropped_and_counted(stage: RealStage, what: str) -> None:
    with capture_logs() as logged:
        stage.submit(real_stage.task("flood records", what=what)).result(120)
    assert stage.dead_letters() == []
    assert len(logged) < budget.MAX_LOG_LINES + 100
    names = [span.name for span in stage.spans.get_finished_spans()]
    assert names.count("step") <= budget.MAX_SPANS
    reports = [line for line in logged if line["event"] == "worker_records_dropped"]
    dropped = {key: value for line in reports for key, value in line.items() if key in ("log", "span")}
    expected = {"logs": {"log": 28_000}, "spans": {"span": 28_000}, "metrics": {}}
    assert dropped == expected[what]


@pytest.mark.parametrize(
    ("what", "budget_named"),
    [
        ("chunks", "more than 4 chunks at a time"),
        ("codecs", "chunks of one sequence with different codecs"),
        ("roles", "budget of 4 sequences"),
        ("unknown chunks", "a chunk that its task does not have"),
    ],
)
def test_worker_over_a_hard_budget_is_a_crash_loop(stage: RealStage, what: str, budget_named: str) -> None:
    with capture_logs() as logged:
        stage.submit(real_stage.task("flood records", what=what)).result(120)
    end = stage.until("failed")
    assert isinstance(end, Failed)
    assert (end.code, end.attempt) == ("CRASH_LOOP", 3)
    died = [str(line["reason"]) for line in logged if line["event"] == "worker_died"]
    assert len(died) == 3
    assert all(budget_named in reason for reason in died)


@pytest.mark.parametrize("do", ["return much metadata", "make many files"])
def test_output_too_large_for_a_task_is_a_crash_loop(stage: RealStage, do: str) -> None:
    stage.submit(real_stage.task(do)).result(60)
    end = stage.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "CRASH_LOOP", "a limit, not INTERNAL"


def test_attempt_may_send_a_million_records() -> None:
    counted = Budget()
    for _ in range(budget.MAX_RECORDS):
        counted.read(60)
    with pytest.raises(OverBudget, match="1000000 records"):
        counted.read(60)


def test_large_records_exhaust_the_byte_budget_first() -> None:
    counted = Budget()
    for _ in range(budget.MAX_PIPE_BYTES // records.MAX_RECORD_BYTES):
        counted.read(records.MAX_RECORD_BYTES)
    with pytest.raises(OverBudget, match="pipe bytes"):
        counted.read(1)


def test_longest_valid_render_is_within_every_budget() -> None:
    """Half an hour at two megapixels: one progress record and one chunk per frame, one span per chunk."""
    frames, counted = 45_000, Budget()
    for number in range(frames):
        for record in (
            records.FileReady(role="frames", path="/" + "x" * 100, frames=1),
            records.Progress(done=number, total=frames),
            records.Span(name="chunk", span_id=f"{number + 1:016x}", start_ns=1, end_ns=2),
        ):
            size = len(record.model_dump_json())
            counted.read(size)
            admitted = counted.admits(record, size)
            assert admitted or isinstance(record, records.Span)


def test_oversized_report_is_dropped_and_the_next_one_is_kept() -> None:
    counted = Budget()
    line = records.Log(level="info", event="line")
    assert not counted.admits(line, budget.MAX_REPORT_BYTES + 1)
    assert counted.admits(line, 100)
    whole = budget.MAX_TELEMETRY_BYTES // budget.MAX_REPORT_BYTES
    assert [counted.admits(line, budget.MAX_REPORT_BYTES) for _ in range(whole)].count(False) == 1


def warned(number: int, size: int = 500) -> records.Warned:
    return records.Warned(code=Code.LOW_RESOLUTION, message=f"{number} " + "x" * size)


def test_warnings_are_deduplicated_and_limited_to_what_fits() -> None:
    warnings = Warnings()
    for _ in range(1000):
        warnings.add(warned(1))
    assert len(warnings.within(StageOutput(attempt="1")).warnings) == 1
    for number in range(1000):
        warnings.add(warned(number))
    fit = warnings.within(StageOutput(attempt="1", metadata={"much": "x" * 6000}))
    assert 1 < len(fit.warnings) < budget.MAX_WARNINGS
    assert fit.warnings[0].message.startswith("1 "), "the first warnings are kept"


def test_four_full_outputs_and_the_largest_request_fit_in_one_record() -> None:
    text = "\u0001" * 64
    request = RenderRequest.model_validate(
        {
            "labels": {f"{number}{text[2:]}": text for number in range(16)},
            "portrait": {"key": "default/" + '"' * 1000},
            "speech": {"key": "default/" + '"' * 1000},
            "output": {"bucket": "b" * 63, "prefix": '"' * 1024},
            "tenant": "t" * 63,
            "department": "d" * 63,
            "owner": "o" * 128,
        }
    )
    task = RenderTask(job_id="j" * 64, request_id="r" * 64, request=request, submitted_ms=1)
    for stage in ("audio", "face", "infer", "encode"):
        output = StageOutput(attempt="a" * 32, metadata={"much": "x" * (budget.MAX_OUTPUT_BYTES - 200)})
        task = task.with_output(stage, Warnings().within(output))
    assert len(task.dump()) <= MAX_ENVELOPE_BYTES


def test_files_over_the_byte_budget_of_an_attempt_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.execute.scratch.MAX_FILE_BYTES", 10)
    folder = WorkFolder(tmp_path / "work")
    for name in ("a", "b"):
        (folder.path / name).write_bytes(b"x" * 6)
    with folder.opened(str(folder.path / "a")):
        pass
    with pytest.raises(WorkerDied, match="file bytes"), folder.opened(str(folder.path / "b")):
        pass
    folder.close()
