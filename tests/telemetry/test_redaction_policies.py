"""Every policy of the redaction is needed: with one of them switched off, a word of a user leaves the process.

Each place of a span or of a log line has a word of its own, so that a test names the exact leak.
"""

import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState

from shared.telemetry import logs, policy, redaction
from shared.telemetry.attributes import Kind
from shared.telemetry.policy import HASHED
from tests.runtime.log_lines import captured
from tests.telemetry.conftest import Recorded

WITHOUT_OWNER = tuple(word for word in logs.SECRET_WORDS if word != "owner")
DROPPED = "exception.stacktrace"
SPAN_PLACES = {
    *("unknown", "path as name", "event attribute", "link attribute", "number", "raw owner.hash", DROPPED, *HASHED),
    *("status", "event name", "span name", "message", "resource", "state"),
}
LOG_PLACES = {*HASHED, DROPPED, "field", "path", "owner_hash", "exception", "nested"}


def token(place: str) -> str:
    return "canary" + "".join(filter(str.isalpha, place))[-18:] + "zz"


def path(place: str) -> str:
    return f"/home/{token(place)}/portrait"


def remote(place: str) -> SpanContext:
    """The context of a sender, with a state of its own beside OpenTelemetry's."""
    state = TraceState([("vendor", token(place)), ("ot", "th:c")])
    return SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)


def span_leaks(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The places of one span whose words are in the bytes that would be sent."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"process.command_line={token('resource')}")
    recorded = Recorded()
    link = Link(remote("state of a link"), {"link.kind": path("link attribute")})
    parent = trace.set_span_in_context(trace.NonRecordingSpan(remote("state")))
    with recorded.tracer.start_as_current_span(f"load {path('span name')}", parent, links=[link]) as span:
        span.set_attributes(
            {
                "note": token("unknown"),
                "audio.codec": path("path as name"),
                "frames": token("number"),
                "owner.hash": token("raw owner.hash"),
                "exception.message": f"cannot read {path('message')}",
                **{key: token(key) for key in (DROPPED, *HASHED)},
            }
        )
        span.add_event(f"read {path('event name')}", {"audio.codec": path("event attribute")})
        span.set_status(Status(StatusCode.ERROR, f"lost {path('status')}"))
    sent = encode_spans(recorded.spans()).SerializeToString().decode(errors="replace")
    recorded.tracing.shutdown()
    return {place for place in SPAN_PLACES if token(place) in sent}


def log_leaks() -> set[str]:
    """The places of one log line whose words are in it."""
    with captured("audio") as lines:
        try:
            raise ValueError(path("exception"))
        except ValueError:
            structlog.get_logger().exception(
                "failed",
                api_token=token("field"),
                detail=f"cannot read {path('path')}",
                owner_hash=token("owner_hash"),
                nested={"list": [{"password": token("nested")}]},
                **{key.replace(".", "_"): token(key) for key in (DROPPED, *HASHED)},
            )
        written = json.dumps(lines())
    return {place for place in LOG_PLACES if token(place) in written}


def test_no_word_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert span_leaks(monkeypatch) == set()
    assert log_leaks() == set()


def test_state_of_the_sampling_is_exported() -> None:
    """Metrics made from spans weigh each by its probability."""
    context = redaction.exported_context(remote("state"))
    assert context.trace_state.to_header() == "ot=th:c"
    assert (context.trace_id, context.span_id, context.is_remote, context.trace_flags) == (1, 2, True, 1)


def unhashed(key: str) -> Callable[[pytest.MonkeyPatch, ModuleType], None]:
    def off(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        monkeypatch.setattr(module, "is_hashed", lambda name: policy._key(name) in HASHED - {key})
        if module is redaction:
            monkeypatch.setattr(module, "kind_of", lambda name: Kind.TEXT if name == key else policy.kind_of(name))
        monkeypatch.setattr(logs, "SECRET_WORDS", WITHOUT_OWNER)

    return off


def undropped(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    if module is redaction:
        monkeypatch.setattr(module, "IGNORED", frozenset())
        monkeypatch.setattr(module, "kind_of", lambda name: Kind.TEXT if name == DROPPED else policy.kind_of(name))
    else:
        monkeypatch.setattr(module, "is_dropped", lambda _: False)


def any_attribute(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "kind_of", lambda name: policy.kind_of(name) or Kind.TEXT)


def any_value(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "typed", lambda value, _: str(value))


def any_hash(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "is_pseudonym" if module is redaction else "is_hash", lambda _: module is redaction)
    monkeypatch.setattr(logs, "SECRET_WORDS", WITHOUT_OWNER)


def any_text(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    for one in (module, sys.modules[redaction.typed.__module__]):
        monkeypatch.setattr(one, "scrubbed", lambda text, _=None: text)


def any_resource(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "RESOURCE_ATTRIBUTES", module.RESOURCE_ATTRIBUTES | {"process.command_line"})


def any_state(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "exported_context", lambda context: context)


def any_field(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.setattr(module, "SECRET_WORDS", ())


@pytest.mark.parametrize(
    ("off", "leaked"),
    [
        *((unhashed(key), {key}) for key in sorted(HASHED)),
        (undropped, {DROPPED}),
        (any_attribute, {"unknown"}),
        (any_value, {"path as name", "event attribute", "link attribute", "number"}),
        (any_hash, {"raw owner.hash"}),
        (any_text, {"event name", "span name"}),
        (any_resource, {"resource"}),
        (any_state, {"state"}),
    ],
)
def test_span_leaks_without(
    off: Callable[[pytest.MonkeyPatch, ModuleType], None], leaked: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    off(monkeypatch, redaction)
    assert span_leaks(monkeypatch) == leaked


@pytest.mark.parametrize(
    ("off", "leaked"),
    [
        *((unhashed(key), {key}) for key in sorted(HASHED)),
        (undropped, {DROPPED}),
        (any_hash, {"owner_hash"}),
        (any_text, {"path", "exception"}),
        (any_field, {"field", "nested"}),
    ],
)
def test_log_leaks_without(
    off: Callable[[pytest.MonkeyPatch, ModuleType], None], leaked: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    off(monkeypatch, logs)
    assert log_leaks() == leaked
