"""The only way out for spans: an exporter that lets through what is on the allow-list, under one vocabulary.

In Python a span processor can't change an ended span, so this wraps the exporter; no exporter is built without it.
"""

import math
import re
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from shared.telemetry import metrics
from shared.telemetry.attributes import IGNORED, RENAMED, RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES, Kind
from shared.telemetry.scrubbing import scrubbed

__all__ = ["RedactingExporter", "redacted", "scrubbed"]

_NAME = re.compile(r"[\w.:@+\[\]-]{1,249}")
"""As long as a topic may be."""
_OF_TOPIC = re.compile(r"(?:send|process|submit) [A-Za-z0-9._-]{1,249}")
_INT64 = range(-(2**63), 2**63)


def _number(value: object) -> float | int | None:
    """A finite number. The SDK turns NumPy's scalars into strings, which no query would match: turned back here."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    try:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # An int beyond any float; it must not take the other spans of its batch along.
        return None


def typed(value: object, kind: Kind) -> AttributeValue | None:
    """The value in its registered type; None for what can't be: NaN, an int beyond 64 bits, a path as a name."""
    match kind:
        case Kind.INT:
            number = _number(value)
            return rounded if number is not None and (rounded := round(number)) in _INT64 else None
        case Kind.FLOAT:
            number = _number(value)
            return None if number is None else float(number)
        case Kind.BOOL:
            return value if isinstance(value, bool) else {"True": True, "False": False}.get(str(value))
        case Kind.NAME:
            text = str(value)
            return text if _NAME.fullmatch(text) else None
        case Kind.TEXT:
            return scrubbed(str(value))


def allowed(attributes: Mapping[str, object] | None) -> dict[str, AttributeValue]:
    """The attributes that may leave, renamed and typed; others are counted."""
    kept: dict[str, AttributeValue] = {}
    for original, value in (attributes or {}).items():
        if original in IGNORED:
            continue
        name = RENAMED.get(original, original)
        kind = SPAN_ATTRIBUTES.get(name)
        fit = typed(value, kind) if kind is not None else None
        if fit is None:
            metrics.ATTRIBUTES_DROPPED.inc()
            continue
        kept[name] = "send" if name == "messaging.operation.type" and fit == "publish" else fit
    return kept


def span_name(name: str) -> str:
    """``<topic> send`` of the instrumentation becomes ``send <topic>``; paths and the like go."""
    topic, _, verb = name.rpartition(" ")
    ours = f"send {topic}" if topic and verb == "send" else name
    return ours if _OF_TOPIC.fullmatch(ours) else scrubbed(ours, 128)


def redacted(span: ReadableSpan) -> ReadableSpan:
    """The span as it may leave the process."""
    status = span.status
    if status.status_code is StatusCode.ERROR and status.description:
        status = Status(StatusCode.ERROR, scrubbed(status.description))
    resource = {name: value for name, value in span.resource.attributes.items() if name in RESOURCE_ATTRIBUTES}
    return ReadableSpan(
        name=span_name(span.name),
        context=span.context,
        parent=span.parent,
        resource=Resource(resource, span.resource.schema_url),
        attributes=allowed(span.attributes),
        events=[Event(scrubbed(e.name, 128), allowed(e.attributes), e.timestamp) for e in span.events],
        links=[Link(link.context, allowed(link.attributes)) for link in span.links],
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class RedactingExporter(SpanExporter):
    """Exports redacted copies through the exporter it wraps, and counts what got through."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export([redacted(span) for span in spans])
        except Exception:
            metrics.SPANS.labels("failed").inc(len(spans))
            raise  # The processor logs it; it never reaches the work.
        metrics.SPANS.labels("exported" if result is SpanExportResult.SUCCESS else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
