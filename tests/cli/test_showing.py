"""How jobs and traces are shown: on lines, in a table, as a tree."""

from types import SimpleNamespace

import pytest

from shared.cli import console, jobs, outcome, trace
from shared.cli.errors import ADVICE, CliError, advice
from shared.cli.progress import Lines
from shared.client import JobKey, JobState
from shared.local.trace_store import StoredSpan
from shared.messages.codes import Code
from shared.messages.events import Failed
from tests.cli.conftest import KnownJob
from tests.client.events import event, waiting


def test_a_job_that_waits_is_shown_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobState("j")
    for one in (event("accepted", engine="puppet"), waiting()):
        job.apply(one)
    monkeypatch.setattr(jobs, "connect", lambda: KnownJob(job))
    jobs.job(JobKey("default", "j"), 1, False)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["status", "waiting", "NO_SPACE"] in shown
    assert ["face", "waiting:", "NO_SPACE"] in shown
    assert ["reason", "NO_SPACE", "in", "face:", "1", "MiB", "is", "free"] in shown
    jobs.jobs(1, 1, False)
    assert capsys.readouterr().out.splitlines()[-1].split()[1:6] == ["waiting", "NO_SPACE", "default", "face", "puppet"]


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown, job = Lines(), JobState("j")
    for one in (
        event("started", stage="face"),
        event("progress", stage="face", percent=10, done=1, total=10),
        event("progress", stage="face", percent=50, done=5, total=10),
        event("progress", stage="face", percent=60, done=6, total=10),
        event("warning", stage="face", code="MULTIPLE_FACES", message="two"),
        waiting(),
        event("finished", stage="face", seconds=0.5, cached=True),
    ):
        job.apply(one)
        shown.show(one, job)
    assert capsys.readouterr().err.splitlines() == [
        "face started",
        "face 50 % (5 of 10)",
        "warning MULTIPLE_FACES: two",
        "face waits: NO_SPACE: 1 MiB is free",
        "face finished in 0.50 s, from the cache",
    ]


def test_every_code_that_can_end_a_job_has_advice() -> None:
    warnings = {"NON_OPTIMAL_STEPS", "MULTIPLE_FACES", "LOW_CONFIDENCE_FACE", "STRONG_POSE", "LOW_RESOLUTION"}
    warnings |= {"OCCLUDED_MOUTH", "SILENT_AUDIO", "NO_SPEECH", "NOISY_AUDIO", "DURATION_CORRECTED"}
    assert set(ADVICE) == {code for code in Code if code not in warnings} - {Code.INTERNAL}
    assert advice("A_CODE_OF_TOMORROW") is None


def span(name: str, span_id: str, parent: str, start: float, end: float, error: str | None = None) -> StoredSpan:
    return StoredSpan(
        "t", span_id, parent, name, "audio", "internal", int(start * 1e9), int(end * 1e9), {}, [], [], error
    )


def test_a_trace_is_shown_as_a_tree() -> None:
    spans = [
        span("process render.requests", "b", "a", 1.2, 1.9),
        span("submit render.requests", "a", "", 1.0, 1.2),
        span("load_audio", "c", "b", 1.3, 1.31, error="no samples"),
        span("send render.face", "d", "b", 1.8, 1.9),
    ]
    shown = [console.line(parts) for parts in trace.lines(spans)]
    assert [line.split()[0] for line in shown[:2]] == ["0.000", "0.200"]
    assert "  submit render.requests" in shown[0]
    assert "700 ms  └─ process render.requests" in shown[1]
    assert "10 ms     ├─ load_audio" in shown[2]
    assert "ERROR no samples" in shown[2]
    assert shown[2].startswith("\x1b[31m"), "red; console.say drops the colour off a terminal"
    assert "   └─ send render.face" in shown[3]


def test_a_trace_is_complete_with_its_summary_and_all_parents() -> None:
    root, child = span("submit render.requests", "a", "", 0, 1), span("render", "b", "a", 0, 1)
    assert trace.is_complete([root, child])
    assert not trace.is_complete([root])
    assert not trace.is_complete([child])


@pytest.mark.parametrize(
    ("sampled", "said"),
    [(False, "was not sampled by the caller"), (True, "no trace of the job j of the tenant default")],
)
def test_a_missing_trace_is_explained(monkeypatch: pytest.MonkeyPatch, sampled: bool, said: str) -> None:
    known = SimpleNamespace(job=lambda _: JobState("j", status="done", trace_id="a" * 32, sampled=sampled))
    monkeypatch.setattr(trace, "connect", lambda: known)
    monkeypatch.setattr(trace, "deployment", lambda: None)
    monkeypatch.setattr(trace, "fetch", lambda *_: {})
    with pytest.raises(CliError, match=said) as error:
        trace.trace(JobKey("default", "j"), as_json=False)
    assert error.value.hint is not None
    assert ("traceparent that ends in 01" in error.value.hint) is not sampled


@pytest.mark.parametrize("sampled", [True, False])
def test_an_internal_failure_names_its_trace_only_where_there_is_one(
    sampled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    event = Failed(job_id="j", tenant="t", request_id="r", time_ms=1, sampled=sampled, stage="face", code=Code.INTERNAL,
                   message="m")  # fmt: skip
    outcome.report(event)
    assert ("lipstage trace" in capsys.readouterr().err) is sampled
