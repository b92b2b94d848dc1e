"""The ``render`` span in memory: how a done render, a request that is refused and an odd task are summarised."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.runtime.consume.assignment import Record
from shared.runtime.failures import DeliveryFailed
from shared.runtime.settle import render_summary
from shared.runtime.settle.render_summary import RenderSummary
from shared.runtime.settle.slow_renders import WARM_UP
from shared.storage import markers
from shared.telemetry import tracing
from tests.runtime.memory import finished
from tests.runtime.memory_stage import ENCODE, ENCODED, FACE, FRONT, MemoryStage, last_task

TRACE, SPAN = "a" * 32, "b" * 16
SENT = [("traceparent", f"00-{TRACE}-{SPAN}-01".encode())]


class Spans:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = tracing.setup("test", "0", self.exporter)

    def of(self, stage: MemoryStage) -> MemoryStage:
        """The stage, whose summaries are recorded here."""
        stage.processor._settlement._summary = RenderSummary(self.tracing.tracer)
        return stage

    def all(self) -> list[ReadableSpan]:
        self.tracing.provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def one(self) -> dict[str, Any]:
        (span,) = self.all()
        return dict(span.attributes or {})


@pytest.fixture
def spans() -> Spans:
    return Spans()


def encode(spans: Spans, folder: Path, **measured: Any) -> MemoryStage:
    stage = spans.of(MemoryStage(ENCODE, folder))
    metadata = ENCODED.model_copy(update=measured).model_dump(mode="json")
    stage.worker.answer = finished(metadata, video=b"v", poster=b"p")
    return stage


def request(**fields: Any) -> RenderRequest:
    return RenderRequest(portrait=InputRef(key="default/p"), speech=InputRef(key="default/s"), **fields)


def test_done_render_has_what_was_measured(spans: Spans, tmp_path: Path) -> None:
    stage = encode(spans, tmp_path, container_drift_ms=-12.4, lip_offset_ms=130.6, quality=0.75)
    stage.handle(last_task(stage))
    attributes = spans.one()
    expected = {
        "outcome": "done",
        "attempts": 2,
        "container.drift_ms": -12,
        "lip.offset_ms": 131,
        "audio.drift_ms": 131,
        "render.quality": 0.75,
        "video.resolution": "8x8",
        "video.duration_s": 1.0,
        "video.format": "mp4",
        "render.non_optimal": True,
    }
    assert {key: attributes.get(key) for key in expected} == expected
    assert isinstance(attributes["audio.drift_ms"], int)
    assert "render.slow" not in attributes, "too few renders to say"


def test_render_is_slow_above_the_others_of_its_kind(spans: Spans, tmp_path: Path) -> None:
    stage = encode(spans, tmp_path)
    slow = stage.processor._settlement._summary._slow
    for _ in range(WARM_UP):
        slow.is_slow("puppet", "8x8", 1.0)
    stage.handle(last_task(stage))  # Submitted in 1970.
    assert spans.one()["render.slow"] is True


def test_replayed_render_is_not_compared(spans: Spans, tmp_path: Path) -> None:
    stage = encode(spans, tmp_path)
    slow = stage.processor._settlement._summary._slow
    for _ in range(WARM_UP):
        slow.is_slow("puppet", "8x8", 1.0)
    stage.handle(last_task(stage), [("lipstage-replay-count", b"1"), *SENT])
    assert "render.slow" not in spans.one()


def test_refused_request_is_summarised_with_what_it_asks_for(spans: Spans, tmp_path: Path) -> None:
    stage = spans.of(MemoryStage(FRONT, tmp_path))
    stage.handle(request(engine="sonic", department="film").model_dump_json(exclude_none=True).encode(), SENT)
    attributes = spans.one()
    assert (attributes["outcome"], attributes["render.rejection"]) == ("rejected", "ENGINE_UNAVAILABLE")
    assert (attributes["engine"], attributes["tenant.department"]) == ("sonic", "film")
    (span,) = spans.all()
    assert f"{span.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize("value", [b"", b"{", b'{"tenant": "acme"}', b"[" * 10_000])
def test_request_that_cannot_be_read_is_summarised(spans: Spans, tmp_path: Path, value: bytes) -> None:
    stage = spans.of(MemoryStage(FRONT, tmp_path))
    stage.handle(value)
    attributes = spans.one()
    assert (attributes["outcome"], attributes["attempts"]) == ("rejected", 1)
    assert "engine" not in attributes


def test_unreadable_task_of_a_known_job_is_summarised(spans: Spans, tmp_path: Path) -> None:
    stage = spans.of(MemoryStage(FACE, tmp_path))
    stage.claim_request()
    stage.handle(b"{}", SENT)
    attributes = spans.one()
    assert (attributes["render.job"], attributes["outcome"]) == (stage.job, "failed")
    assert attributes["error.type"] == "POISON"


def test_outputs_in_another_form_are_left_out(spans: Spans, tmp_path: Path) -> None:
    stage = spans.of(MemoryStage(ENCODE, tmp_path))
    task = stage.task()
    broken = {"audio": {"attempt": "1", "metadata": {"codec": 3}}, "face": {"attempt": "1", "seconds": 2.0}}
    stage.handle(task.model_copy(update={"outputs": broken}).model_dump_json(warnings=False).encode())
    stage.deliver_again()
    attributes = spans.one()
    assert attributes["outcome"] == "failed"
    assert attributes["seconds.face"] == 2.0
    assert not {"audio.duration_s", "video.resolution"} & set(attributes)


def test_job_that_a_client_cancelled_before_any_stage_took_it_is_summarised(spans: Spans, tmp_path: Path) -> None:
    stage = spans.of(MemoryStage(FRONT, tmp_path))
    body = request(job_id=stage.job).model_dump_json(exclude_none=True).encode()
    base = {"job_id": stage.job, "tenant": "default", "request_id": "r", "time_ms": 1_795_900_000_000}
    end = Failed(**base, stage="audio", code=Code.CANCELLED, message="m")
    markers.claim_end(stage.store.documents, "default", stage.job, end)
    stage.handle(body, SENT)
    assert spans.one()["outcome"] == "cancelled"


def test_end_that_was_stored_before_the_front_stopped_is_summarised_by_the_next_delivery(
    spans: Spans, tmp_path: Path
) -> None:
    """The broker did not confirm the event: the service ends after the claim, and before the export."""
    stage = spans.of(MemoryStage(FRONT, tmp_path))
    body = request(engine="sonic", department="film", job_id=stage.job).model_dump_json(exclude_none=True).encode()
    stage.producers.errors["render.events"] = DeliveryFailed("_MSG_TIMED_OUT")
    with pytest.raises(DeliveryFailed):
        stage.handle(body, SENT)
    assert spans.all() == []
    stage.producers.errors.clear()
    stage.handle(body, SENT)
    stage.handle(body, SENT)
    first, again = spans.all()
    assert first.context == again.context, "the same span, however often it is exported"
    attributes = dict(first.attributes or {})
    assert (attributes["outcome"], attributes["render.rejection"]) == ("rejected", "ENGINE_UNAVAILABLE")
    assert attributes["tenant.department"] == "film"


def test_repeated_ends_of_other_stages_export_nothing(spans: Spans, tmp_path: Path) -> None:
    """The front knows less of the job than the stage that ended it."""
    stage = spans.of(MemoryStage(FRONT, tmp_path))
    body = request(job_id=stage.job).model_dump_json(exclude_none=True).encode()
    base = {"job_id": stage.job, "tenant": "default", "request_id": "r", "time_ms": 1}
    for number, (code, at) in enumerate([(Code.CANCELLED, "infer"), (Code.INTERNAL, "face")]):
        end = Failed(**base, stage=at, code=code, message="m", replays=number)
        stage.store.documents.values.clear()
        markers.claim_end(stage.store.documents, "default", stage.job, end)
        stage.handle(body, SENT)
    assert spans.all() == []


def test_summary_that_fails_ends_no_work(spans: Spans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(render_summary, "summary_attributes", broken)
    stage = encode(spans, tmp_path)
    stage.handle(last_task(stage))
    assert stage.end().type == "done"


def test_replay_carries_its_own_trace_to_the_next_stage(tmp_path: Path) -> None:
    stage = MemoryStage(FACE, tmp_path)
    task = stage.task().model_copy(
        update={"submit_traceparent": f"00-{'c' * 32}-{'d' * 16}-01", "submit_tracestate": "old=1"}
    )
    replay = [("lipstage-replay-count", b"1"), *SENT, ("tracestate", b"new=2")]
    record = Record("t", 0, 7, stage.job.encode(), task.dump(), replay, 1)
    stage.processor.handle(record, stage.assignment, stage.worker)
    (sent,) = stage.producers.tasks("render.infer.puppet")
    assert (sent.submit_traceparent, sent.submit_tracestate) == (f"00-{TRACE}-{SPAN}-01", "new=2")
