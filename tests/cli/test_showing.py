"""How jobs and traces are shown: on lines, in a table, as a tree."""

import re
from types import SimpleNamespace

import pytest

from shared.cli import console, jobs, outcome, progress_bars, trace, trace_lines
from shared.cli.errors import ADVICE, CliError, advice
from shared.cli.progress import Display, Lines, frames_text
from shared.cli.progress_bars import Bars
from shared.cli.weights_progress import WeightsProgress
from shared.client import JobKey, JobState
from shared.messages.codes import Code
from shared.messages.engines import ENGINES, FPS
from shared.messages.events import AnyEvent, Failed
from shared.telemetry.spans import StoredSpan
from tests.cli.conftest import KnownJob
from tests.client.events import event, waiting


def test_a_job_that_waits_is_shown_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobState("j")
    for one in (event("accepted", engine="puppet"), waiting()):
        job.apply(one)
    monkeypatch.setattr(jobs, "connect", lambda **_: KnownJob(job))
    jobs.job(JobKey("default", "j"), 1, False)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["status", "waiting", "NO_SPACE"] in shown
    assert ["face", "waiting:", "NO_SPACE"] in shown
    assert ["reason", "NO_SPACE", "in", "face:", "1", "MiB", "is", "free"] in shown
    jobs.jobs(1, 1, False)
    assert capsys.readouterr().out.splitlines()[-1].split()[1:6] == ["waiting", "NO_SPACE", "default", "face", "puppet"]


def test_a_job_between_two_attempts_is_shown_with_the_next_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobState("j")
    due = {"tier": "1m", "due_ms": 61_000, "next_attempt": 3}
    retrying = event("retrying", stage="face", code="STORE_UNAVAILABLE", message="503", **due)
    for one in (event("accepted", engine="puppet"), retrying):
        job.apply(one)
    monkeypatch.setattr(jobs, "connect", lambda **_: KnownJob(job))
    jobs.job(JobKey("default", "j"), 1, False)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["status", "waiting", "STORE_UNAVAILABLE"] in shown
    (retry,) = [words for words in shown if words[0] == "retry"]
    assert (retry[1:4], retry[-1]) == (["attempt", "3", "at"], "(1m)")


def show(display: Display, *events: AnyEvent) -> None:
    job = JobState("j")
    with display:
        for one in (event("accepted", engine="puppet"), *events):
            job.apply(one)
            display.show(one, job)


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        Lines(),
        event("started", stage="face"),
        event("progress", stage="face", percent=10, done=1, total=10),
        event("progress", stage="face", percent=50, done=5, total=10),
        event("progress", stage="face", percent=60, done=6, total=10),
        event("warning", stage="face", code="MULTIPLE_FACES", message="two"),
        waiting(),
        event("finished", stage="face", seconds=0.5, cached=True),
    )
    assert capsys.readouterr().err.splitlines() == [
        "face started",
        "face 50 %, 0.00 s elapsed, about 0.00 s left",
        "warning MULTIPLE_FACES: two",
        "face waits: NO_SPACE: 1 MiB is free",
        "face finished in 0.50 s, from the cache",
    ]


def test_progress_lines_have_frames_seconds_of_video_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        Lines(),
        event("started", stage="infer"),
        event("progress", stage="infer", percent=25, done=63, total=252, time_ms=4000),
        event("progress", stage="infer", percent=30, done=76, total=252, time_ms=33_999),
        event("progress", stage="infer", percent=30, done=76, total=252, time_ms=34_000),
    )
    assert capsys.readouterr().err.splitlines() == [
        "infer started",
        "infer 25 %, 63/252 frames, 2.5/10.1 s of video, 3.00 s elapsed, about 9.00 s left",
        "infer 30 %, 76/252 frames, 3.0/10.1 s of video, 33.0 s elapsed, about 77.0 s left",
    ]


@pytest.mark.parametrize(("engine", "shown"), [("puppet", "40/100 frames, 1.6/4.0 s"), ("sonic", ""), ("", "")])
def test_frames_are_named_only_where_the_engine_counts_frames(engine: str, shown: str) -> None:
    """The sonic engine counts its denoising in the same total."""
    assert frames_text(engine, "infer", 40, 100) == shown
    assert frames_text(engine, "encode", 40, 100) == "40/100 frames, 1.6/4.0 s"
    assert frames_text(engine, "audio", 40, 100) == ""


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_bars_fit_the_terminal_and_show_amount_and_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """The events are past ones: their own times count, not those at which they are shown."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(progress_bars, "time", SimpleNamespace(monotonic=lambda: 0.0))  # A slow machine adds nothing.
    show(
        Bars(),
        event("finished", stage="audio", seconds=0.41),
        event("finished", stage="face", seconds=0.02, cached=True, time_ms=1500),
        event("started", stage="infer", time_ms=2000),
        *(event("progress", stage="infer", percent=n, done=n, total=100, time_ms=2000 + 100 * n) for n in (10, 20, 40)),
    )
    rows = capsys.readouterr().err.splitlines()[-4:]
    assert max(map(len, rows)) <= columns
    assert not [row for row in rows if "…" in row]
    cells = {row.split()[0]: " ".join(row.split()) for row in rows}
    assert cells["audio"].split()[-2:] == ["0.41", "s"]
    assert "100% from the cache" in cells["face"]
    seconds = "" if columns < 80 else ", 1.6/4.0 s"
    assert f" 40% 40/100 frames{seconds} 0:04 0:06 left" in cells["infer"]
    assert " 0% waiting" in cells["encode"]


@pytest.mark.parametrize("columns", [60, 80])
def test_progress_of_weights_fits_the_terminal_and_has_a_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    with WeightsProgress() as progress:
        for done in (1, 2, 3):
            progress.show("unet.safetensors", "convert", done << 30, 5 << 30)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    rows = [row for row in re.split(r"[\r\n]+", shown) if row.strip()]
    assert max(map(len, rows)) <= columns
    assert "unet.safetensors: convert" in rows[-1]
    assert "3.2/5.4 GB" in rows[-1] and rows[-1].rstrip().endswith("left")


def test_every_code_that_can_end_a_job_has_advice() -> None:
    warnings = {"NON_OPTIMAL_STEPS", "MULTIPLE_FACES", "LOW_CONFIDENCE_FACE", "STRONG_POSE", "LOW_RESOLUTION"}
    warnings |= {"OCCLUDED_MOUTH", "SILENT_AUDIO", "NO_SPEECH", "NOISY_AUDIO", "DURATION_CORRECTED"}
    # That an endpoint was not told of a render's end does not end the render.
    assert set(ADVICE) == {code for code in Code if code not in warnings} - {Code.INTERNAL, Code.WEBHOOK_FAILED}
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
    shown = [console.line(parts) for parts in trace_lines.lines(spans)]
    assert [line.split()[0] for line in shown[:2]] == ["0.000", "0.200"]
    assert "  submit render.requests" in shown[0]
    assert "700 ms  └─ process render.requests" in shown[1]
    assert "10 ms     ├─ load_audio" in shown[2]
    assert "ERROR no samples" in shown[2]
    assert shown[2].startswith("\x1b[31m"), "red; console.say drops the colour off a terminal"
    assert "   └─ send render.face" in shown[3]


@pytest.mark.parametrize("columns", [60, 80])
def test_trace_fits_the_terminal(columns: int) -> None:
    names = ["submit render.requests", "send render.requests", "process render.requests", "process render.face"]
    names += ["process render.infer.puppet", "process render.encode", "encode_video"]
    spans = [span(name, str(depth), str(depth - 1), depth, 9.0) for depth, name in enumerate(names)]
    spans[-1].attributes.update({"audio.drift_ms": 10, "render.quality": 0.987, "artifact.role": "frames"})
    shown = [console.line(parts) for parts in trace_lines.lines(spans, columns)]
    plain = [re.sub(r"\x1b\[\d*m", "", line) for line in shown]
    assert all(len(line) <= columns for line in plain), plain
    assert plain[-1].split() == ["frames", "audio.drift_ms=10", "render.quality=0.987"]
    assert len(plain) == len(spans) + 1


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
    monkeypatch.setattr(trace.trace_source, "source", lambda: None)
    monkeypatch.setattr(trace, "job_traces", lambda *_: {})
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


def test_every_registered_engine_declares_what_its_progress_counts() -> None:
    shown = {name for name in ENGINES if frames_text(name, "infer", FPS, 2 * FPS)}
    assert shown == {name for name, engine in ENGINES.items() if engine.progress_is_frames}
    assert frames_text("puppet", "infer", FPS, 2 * FPS) == "25/50 frames, 1.0/2.0 s"
