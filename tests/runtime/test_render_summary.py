"""The ``render`` span: one for each terminal event, whatever the outcome, on the real broker and object store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from shared.messages.metadata import AudioMetadata
from shared.messages.task import RenderTask, StageOutput
from shared.telemetry import pseudonyms
from tests.conftest import Infrastructure
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

SENDER = f"00-{'a' * 32}-{'b' * 16}-01"
SUBMITTED_MS = 1_700_000_000_000
AUDIO = StageOutput(
    attempt="1",
    seconds=0.25,
    cpu_seconds=0.125,
    queue_ms=40,
    attempts=2,
    metadata=AudioMetadata(
        codec="pcm", sample_rate=48_000, channels=1, duration_s=1.5, duration_gap_ms=-20, sound_channels=1
    ).model_dump(mode="json"),
)


@pytest.fixture
def once(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealStage]:
    """A stage that makes one attempt."""
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    one = RealStage(topic_prefix, tmp_path, max_attempts=1)
    yield one
    one.close()


def task(do: str, **request: Any) -> RenderTask:
    made = real_stage.task(do, {"audio": AUDIO})
    request = {"tenant": "acme", "department": "film", "owner": "ann@example.org", **request}
    update = {
        "request": made.request.model_copy(update=request),
        "submitted_ms": SUBMITTED_MS,
        "submit_traceparent": SENDER,
        "submit_tracestate": "ot=th:c,vendor=1",
    }
    return made.model_copy(update=update)


def summaries(stage: RealStage) -> list[ReadableSpan]:
    stage._tracing.provider.force_flush()
    return [span for span in stage.spans.get_finished_spans() if span.name == "render"]


def summary(stage: RealStage, made: RenderTask) -> ReadableSpan:
    stage.submit(made, [("traceparent", SENDER.encode())]).result(60)
    (span,) = summaries(stage)
    return span


def ended(outcome: str, error: str | None) -> dict[str, Any]:
    return {"outcome": outcome, "error.type": error}


def test_each_outcome_has_its_summary(once: RealStage) -> None:
    """One stage for all: it takes seconds to start."""
    cancelled, expired = task("record nothing"), task("record nothing", deadline_s=5.0)
    once.cancelled.jobs.add(cancelled.job_id)
    outcomes = {
        "rejected": (task("reject"), "NO_FACE", StatusCode.UNSET),
        "failed": (task("fail"), "INTERNAL", StatusCode.ERROR),
        "cancelled": (cancelled, "CANCELLED", StatusCode.UNSET),
        "expired": (expired, "EXPIRED", StatusCode.ERROR),
    }
    for outcome, (made, code, status) in outcomes.items():
        span = summary(once, made)
        attributes = dict(span.attributes or {})
        assert (attributes["outcome"], span.status.status_code) == (outcome, status)
        assert attributes.get("error.type") == (code if outcome in ("failed", "expired") else None)
        assert attributes.get("render.rejection") == (code if outcome == "rejected" else None)
        assert (span.context.trace_id, span.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
        assert span.context.trace_state.to_header() == "ot=th:c", "what may leave the process"
        assert span.kind is SpanKind.INTERNAL
        assert span.start_time == SUBMITTED_MS * 1_000_000
        expected = {
            "render.job": made.job_id,
            "tenant": "acme",
            "tenant.department": "film",
            "owner.hash": pseudonyms.pseudonym("ann@example.org"),
            "render.date": "2023-11-14",
            "engine": "puppet",
            "attempts": 3,
            "replays": 0,
            "inference.steps": 25,
            "dynamic.scale": 1.0,
            "expand.ratio": 0.18,
            "audio.duration_s": 1.5,
            "audio.duration_gap_ms": -20,
            "seconds.audio": 0.25,
            "cpu.seconds": 0.125,
        }
        assert {key: attributes.get(key) for key in expected} == expected
        assert attributes["queue.wait_ms"] >= 40
        assert not {"video.duration_s", "render.slow", "render.non_optimal"} & set(attributes)
        once.spans.clear()


def test_repeated_delivery_exports_the_same_span(once: RealStage) -> None:
    made = task("reject")
    first = summary(once, made)
    once.spans.clear()
    again = summary(once, made)
    assert again.context == first.context
    assert (again.start_time, again.end_time) == (first.start_time, first.end_time)
    assert {k: v for k, v in (again.attributes or {}).items() if k != "queue.wait_ms"} == {
        k: v for k, v in (first.attributes or {}).items() if k != "queue.wait_ms"
    }


def test_job_that_goes_on_has_no_summary(stage: RealStage) -> None:
    """The next stage has its task, or its retry topic has it."""
    for do in ("record nothing", "fail"):
        stage.submit(task(do)).result(60)
    assert summaries(stage) == []


def test_output_names_the_cpu_time_wait_and_attempt_of_its_stage(stage: RealStage) -> None:
    stage.submit(task("record nothing"), [("lipstage-attempt", b"3")]).result(60)
    output = RenderTask.parse(stage.producers.tasks[0]).outputs["face"]
    assert output.attempts == 3
    assert output.cpu_seconds >= 0.0
    assert output.queue_ms > 0, "the record's timestamp is long ago"
