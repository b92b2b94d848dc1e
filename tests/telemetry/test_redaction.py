"""Exported spans have only allow-listed attributes, with standard names and one type each."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from shared.messages.codes import Code
from shared.telemetry import metrics, scrubbing
from shared.telemetry.failing import work_span
from shared.telemetry.redaction import RedactingExporter
from shared.telemetry.scrubbing import scrubbed
from shared.telemetry.tracing import setup

CANARIES = (
    "/home/bob/canary/portrait.png",
    "s3://lipstage-inputs/default/canary.wav",
    "default/canary/speech",
    "canary-portrait.JPG",
    "canary@example.com",
    r"C:\canary\portrait",
    "'/home/bob/my canary pictures/p'",
    "token=canary-token",
    "password: canary",
    "Authorization: Bearer canary",
    "canary" * 8,
)


def _link(attributes: dict[str, str]) -> Link:
    return Link(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1)), attributes)


@pytest.mark.parametrize("canary", CANARIES)
def test_personal_data_is_exported_in_no_part_of_a_span(canary: str, recorded) -> None:
    tracer = recorded.tracer
    text = f"cannot read {canary} now"
    with pytest.raises(FileNotFoundError), tracer.start_as_current_span(f"load {canary}") as span:
        span.set_attribute("unknown", text)
        span.set_attribute("engine", text)
        span.set_attribute("exception.message", text)
        span.add_event(f"Read {canary}", {"path": text, "audio.codec": text})
        span.add_link(_link({"key": text}).context, {"key": text, "link.kind": text})
        raise FileNotFoundError(text)
    sent = encode_spans(recorded.spans()).SerializeToString()
    assert b"canary" not in sent.lower()


def test_resource_has_only_allow_listed_attributes(recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "process.command_line=canary,deployment.environment.name=test")
    recorder = type(recorded)()
    recorder.tracer.start_span("a").end()
    attributes = recorder.one().resource.attributes
    assert (attributes["service.namespace"], attributes["service.name"], attributes["service.version"]) == (
        "lipstage",
        "audio",
        "1.2.3",
    )
    assert attributes["deployment.environment.name"] == "test"
    assert "process.command_line" not in attributes
    recorder.tracing.shutdown()


def test_values_have_their_registered_type(recorded) -> None:
    values = {
        "inference.steps": np.int64(25),
        "audio.drift_ms": 130.4,
        "container.drift_ms": np.float32(-0.6),
        "dynamic.scale": 1,
        "video.resolution": "512x512",
        "cached": np.bool_(True),
    }
    with recorded.tracer.start_as_current_span("a") as span:
        span.set_attributes(values)
    attributes = recorded.one().attributes
    assert attributes == {
        "inference.steps": 25,
        "audio.drift_ms": 130,
        "container.drift_ms": -1,
        "dynamic.scale": 1.0,
        "video.resolution": "512x512",
        "cached": True,
    }
    assert [type(value) for value in attributes.values()] == [int, int, int, float, str, bool]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio.drift_ms", float("nan")),
        ("artifact.bytes", 2**63),
        ("frames", 10**400),
        ("face.score", "high"),
        ("nonsense", 1),
    ],
)
def test_value_of_another_type_is_dropped_and_counted(name: str, value: object, recorded) -> None:
    before = metrics.ATTRIBUTES_DROPPED._value.get()
    with recorded.tracer.start_as_current_span("a") as span:
        span.set_attribute(name, value)
    assert name not in recorded.one().attributes
    assert metrics.ATTRIBUTES_DROPPED._value.get() == before + 1


def test_names_of_the_instrumentation_are_renamed(recorded) -> None:
    old = {
        "messaging.system": "kafka",
        "messaging.destination": "render.face",
        "messaging.destination_kind": "queue",
        "messaging.operation": "publish",
        "messaging.kafka.partition": 3,
    }
    recorded.tracer.start_span("render.face send", kind=SpanKind.PRODUCER, attributes=old).end()
    span = recorded.one()
    assert span.name == "send render.face"
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": "render.face",
        "messaging.operation.type": "send",
        "messaging.destination.partition.id": "3",
    }


def test_error_text_keeps_what_is_not_personal() -> None:
    assert scrubbed("NoSuchKey: default/bob/p.png is gone after 3 tries") == "NoSuchKey: [..] is gone after 3 tries"
    assert scrubbed("bob.heic and bob.avif are gone") == "[..] and [..] are gone"
    assert scrubbed("the face is 40 px wide, at least 64 px are needed") == (
        "the face is 40 px wide, at least 64 px are needed"
    )
    assert scrubbed("must be one of http/protobuf, grpc") == "must be one of http/protobuf, grpc"
    assert scrubbed("http/protobuf/canary http/protobufs a/http/protobuf") == "[..] [..] [..]"
    assert len(scrubbed("word " * 1000)) == 300


@pytest.mark.parametrize("limit", [None, 300, 2000, 10**9])
def test_search_is_bounded_by_the_limit(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    class Recording:
        def sub(self, mark: str, text: str) -> str:
            searched.append(text)
            return text

    monkeypatch.setattr(scrubbing, "_PRIVATE", Recording())
    scrubbed("word " * 1_000_000, limit)
    (text,) = searched
    assert len(text) <= min(8 * (limit or 10**9), scrubbing.MAX_SEARCHED) + len(f" {scrubbing.MARK}")


def test_half_of_a_secret_at_the_cut_is_removed() -> None:
    paths = "/a/b " * 3270
    for cut in range(30):
        text = paths + "x" * cut + " " + "canary" * 8
        assert "canary" not in scrubbed(text, 4000), "paths shrink, so the word at the cut is in the result"


def unbounded(pattern: object) -> Iterator[list[tuple[set[str], bool]]]:
    """The parts of every alternative in order: which of some characters each matches, and whether it is unbounded."""
    characters = "a.@/\\'\"-+= \n:"
    parts: list[tuple[set[str], bool]] = []
    for operator, argument in pattern:  # type: ignore[attr-defined]
        name = str(operator)
        if name == "BRANCH":
            for branch in argument[1]:
                yield from unbounded(branch)
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, of = argument
            (single,) = of if len(of) == 1 else (None,)
            if single is not None and str(single[0]) in ("IN", "NOT_LITERAL", "LITERAL"):
                matches = {c for c in characters if _matches(single, c)}
                parts.append((matches, str(most) == "MAXREPEAT"))
        elif name in ("IN", "NOT_LITERAL", "LITERAL"):
            parts.append(({c for c in characters if _matches((operator, argument), c)}, False))
    yield parts


def _matches(part: object, character: str) -> bool:
    compiled = re._compiler.compile(_alone(part), re.IGNORECASE)  # type: ignore[attr-defined]
    return compiled.fullmatch(character) is not None


def _alone(part: object) -> object:
    state = re._parser.State()  # type: ignore[attr-defined]
    state.flags, state.str = re.IGNORECASE.value | re.UNICODE.value, ""
    return re._parser.SubPattern(state, [part])  # type: ignore[attr-defined]


def test_no_alternative_backtracks() -> None:
    """Quadratic cost comes from an unbounded part, a character that it matches, and another unbounded part."""
    source, flags = scrubbing._PRIVATE.pattern, scrubbing._PRIVATE.flags
    alternatives = list(unbounded(re._parser.parse(source, flags)))  # type: ignore[attr-defined]
    assert len(alternatives) > 5
    for parts in alternatives:
        for (first, repeats), (between, _), (_, repeats_again) in zip(parts, parts[1:], parts[2:], strict=False):
            assert not (repeats and repeats_again and first & between), parts


def test_every_exporter_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing = setup("audio", "1")
    processors = tracing.provider._active_span_processor._span_processors
    assert [type(p.span_exporter) for p in processors] == [RedactingExporter]
    tracing.shutdown()


def test_without_an_endpoint_spans_have_ids_and_are_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    tracing = setup("audio", "1")
    assert tracing.provider._active_span_processor._span_processors == ()
    assert tracing.tracer.start_span("a").get_span_context().is_valid


class _Failing(SpanExporter):
    def export(self, spans):
        raise RuntimeError("collector")


def test_failed_export_is_counted_and_does_not_raise() -> None:
    tracing = setup("audio", "1", _Failing())
    before = metrics.SPANS.labels("failed")._value.get()
    tracing.tracer.start_span("a").end()
    tracing.provider.force_flush()
    assert metrics.SPANS.labels("failed")._value.get() == before + 1
    tracing.shutdown()


def test_result_of_the_wrapped_exporter_is_returned() -> None:
    class Refusing(SpanExporter):
        def export(self, spans):
            return SpanExportResult.FAILURE

    assert RedactingExporter(Refusing()).export([]) is SpanExportResult.FAILURE


def test_lone_surrogate_does_not_lose_the_batch(recorded) -> None:
    with recorded.tracer.start_as_current_span("load \udce4") as span:
        span.add_event("read \udce4", {"audio.codec": "\udce4"})
        span.set_status(StatusCode.ERROR, "lost \udce4")
    assert b"load ?" in encode_spans(recorded.spans()).SerializeToString()


def test_text_of_an_exception_is_exported_in_no_part_of_a_span(recorded) -> None:
    """Also of a library's spans, and of words that no search takes for a path or a name."""
    text = "The portrait can't be used: default/Ann's Smith wedding/p.png does not exist in inputs."
    with pytest.raises(ValueError, match="Smith"), recorded.tracer.start_as_current_span("a"):
        raise ValueError(text)
    span = recorded.one()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert [(event.name, event.attributes["exception.type"]) for event in span.events] == [("exception", "ValueError")]
    assert b"Smith" not in encode_spans([span]).SerializeToString()


class Refused(Exception):
    code = Code.NO_FACE


@pytest.mark.parametrize(
    ("error", "expected"),
    [(Refused("Ann"), "NO_FACE"), (ValueError("Ann"), "ValueError"), (SystemExit("Ann"), "SystemExit")],
)
def test_failed_work_has_the_code_or_the_class(error: BaseException, expected: str, recorded) -> None:
    with pytest.raises(type(error)), work_span(recorded.tracer, "a", {"engine": "puppet"}):
        raise error
    span = recorded.one()
    assert (span.status.status_code, dict(span.attributes)) == (
        StatusCode.ERROR,
        {"engine": "puppet", "error.type": expected},
    )
    assert list(span.events) == []


@pytest.mark.parametrize(
    "name", ["ann.wav", "ann.aiff", "ann.aif", "ann.au", "ann.amr", "ann.3gp", "ann.mka", "ann.webm"]
)
def test_name_of_a_media_file_is_removed_from_error_text(name: str) -> None:
    assert scrubbed(f"can't read {name} of the user") == "can't read [..] of the user"
