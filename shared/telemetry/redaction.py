"""Redaction of spans: a wrapper around every exporter that keeps only allow-listed attributes, under standard names.

In Python a span processor can't change an ended span; so the exporter is wrapped, and never used without this wrapper.
"""

import re
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status, TraceState
from opentelemetry.util.types import AttributeValue

from shared.telemetry import metrics
from shared.telemetry.attributes import IGNORED, RENAMED, RESOURCE_ATTRIBUTES
from shared.telemetry.policy import is_hash, is_hashed, kind_of
from shared.telemetry.pseudonyms import is_pseudonym, pseudonym
from shared.telemetry.scrubbing import scrubbed
from shared.telemetry.values import typed

STATE_MEMBER = "ot"
_TOPIC_SPAN = re.compile(r"(?:send|process|submit) [A-Za-z0-9._-]{1,249}")


def allowed(attributes: Mapping[str, object] | None) -> dict[str, AttributeValue]:
    """The attributes on the allow-list, renamed and typed, or hashed; the others are dropped and counted."""
    kept: dict[str, AttributeValue] = {}
    for original, value in (attributes or {}).items():
        if original in IGNORED:
            continue
        name = RENAMED.get(original, original)
        kind = kind_of(name)
        fit = pseudonym(str(value)) if is_hashed(name) else typed(value, kind) if kind is not None else None
        if fit is None or (is_hash(name) and not is_pseudonym(str(fit))):
            metrics.ATTRIBUTES_DROPPED.inc()
            continue
        kept[name] = "send" if name == "messaging.operation.type" and fit == "publish" else fit
    return kept


def span_name(name: str) -> str:
    """The span name with ``<topic> send`` of the instrumentation as ``send <topic>``; other names are scrubbed."""
    topic, _, verb = name.rpartition(" ")
    standard = f"send {topic}" if topic and verb == "send" else name
    return standard if _TOPIC_SPAN.fullmatch(standard) else scrubbed(standard, 128)


def exported_context(context: SpanContext) -> SpanContext:
    """The ids and flags of a context; of the senders' ``tracestate`` only OpenTelemetry's own member, which says how
    the trace was sampled."""
    if not context.trace_state:
        return context
    own = [(key, value) for key, value in context.trace_state.items() if key == STATE_MEMBER]
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(own))


def redacted(span: ReadableSpan) -> ReadableSpan:
    """The span as it is exported."""
    resource = {name: value for name, value in span.resource.attributes.items() if name in RESOURCE_ATTRIBUTES}
    return ReadableSpan(
        name=span_name(span.name),
        context=exported_context(span.context),
        parent=span.parent,
        resource=Resource(resource, span.resource.schema_url),
        attributes=allowed(span.attributes),
        events=[Event(scrubbed(e.name, 128), allowed(e.attributes), e.timestamp) for e in span.events],
        links=[Link(exported_context(link.context), allowed(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),  # Its text is that of an exception: see `failing`.
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class RedactingExporter(SpanExporter):
    """Exports redacted copies of spans through the wrapped exporter, and counts them by result."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._in_flight = 0
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export one batch; the span processor exports no two at a time."""
        self._in_flight = len(spans)
        try:
            result = self._inner.export([redacted(span) for span in spans])
        except Exception:
            metrics.SPANS.labels("failed").inc(self.take_in_flight())
            raise  # The span processor logs it; it never reaches the caller.
        outcome = "exported" if result is SpanExportResult.SUCCESS else "failed"
        metrics.SPANS.labels(outcome).inc(self.take_in_flight())
        return result

    def take_in_flight(self) -> int:
        """The size of the batch that is under way and not counted yet. Whoever takes it counts it: at a shutdown that
        does not wait for the collector, the queue."""
        with self._lock:
            count, self._in_flight = self._in_flight, 0
        return count

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
