"""A received span, and how it is read from OTLP: the form in which traces are stored, searched and shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

Scalar = bool | int | float | str
_MAX_NESTED_BYTES = 4096
"""Largest list or map that is kept, as text, which is indented by its depth and may be a hundred times as long."""
_KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as received: ids in hex, times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Scalar]
    events: list[dict[str, Any]]
    links: list[dict[str, str]]
    """Each with ``trace_id``, ``span_id`` and ``kind``: previous_attempt, replay_of or sender; else empty."""
    error: str | None
    """Status message of a failed span, possibly empty; None for a span that did not fail."""
    version: str = ""
    """Version of the service."""

    @property
    def duration_ns(self) -> int:
        """Its length; 0 for a span that ends before it starts, by the clocks of two machines."""
        return max(0, self.end_ns - self.start_ns)


def read_spans(resources: Any) -> list[StoredSpan]:
    """The spans of OTLP's ``resource_spans``."""
    return [
        _span(span, str(attributes.get("service.name", "")), str(attributes.get("service.version", "")))
        for resource in resources
        for attributes in [_attributes(resource.resource.attributes)]
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def parts_exceed(resources: Sequence[ResourceSpans], limit: int) -> bool:
    """Whether OTLP's ``resource_spans`` have more than ``limit`` parts: resources, scopes, spans and what spans have.

    No more than ``limit`` of them are looked at.
    """
    total = 0
    for number in _numbers_of_parts(resources):
        total += number
        if total > limit:
            return True
    return False


def _numbers_of_parts(resources: Sequence[ResourceSpans]) -> Iterator[int]:
    """The number of parts at each place, before any of them is looked at."""
    yield len(resources)
    for resource in resources:
        yield len(resource.resource.attributes) + len(resource.scope_spans)
        for scope in resource.scope_spans:
            yield len(scope.spans)
            for span in scope.spans:
                yield len(span.attributes) + len(span.events) + len(span.links)
                for part in (*span.events, *span.links):
                    yield len(part.attributes)


def _span(span: Span, service: str, version: str) -> StoredSpan:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return StoredSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        kind=_KINDS.get(span.kind, "internal"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=[
            {"name": e.name, "time_ns": e.time_unix_nano, "attributes": _attributes(e.attributes)} for e in span.events
        ],
        links=[
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "kind": str(_attributes(link.attributes).get("link.kind", "")),
            }
            for link in span.links
        ],
        error=span.status.message if failed else None,
        version=version,
    )


def _attributes(pairs: Any) -> dict[str, Scalar]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Scalar:
    kind = value.WhichOneof("value")
    if kind == "double_value" and not isfinite(value.double_value):
        return str(value.double_value)  # JSON has no number for it.
    if kind in ("string_value", "bool_value", "int_value", "double_value"):
        scalar: Scalar = getattr(value, kind)
        return scalar
    if (size := value.ByteSize()) > _MAX_NESTED_BYTES:
        return f"{kind} of {size} bytes"
    return str(value)
