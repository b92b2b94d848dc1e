"""What a worker reports while it works, turned into the parent's spans, logs and metrics."""

from contextlib import AbstractContextManager

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from pydantic import JsonValue

from shared.messages.task import StageOutput
from shared.slot import records
from shared.slot.spec import StageSpec
from shared.telemetry import metrics
from shared.telemetry.ids import preset_span_id

log = structlog.get_logger()


RESERVED = {
    "self",
    "event",
    "level",
    "timestamp",
    "exc_info",
    "stack_info",
    "exception",
    "method_name",
    "service",
    "job",
}
"""Names the log's own processors take."""


def plain(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """A worker's fields under names that can't be taken for the logger's own."""
    return {f"{name}_" if name in RESERVED else name: value for name, value in fields.items()}


def log_record(record: records.Log) -> None:
    """A worker's log line as one of ours."""
    getattr(log, record.level)(record.event, **plain(record.fields))


class WorkerTelemetry:
    """One attempt's telemetry; spans become children of the span that is current when this is made."""

    def __init__(self, stage: str, tracer: Tracer) -> None:
        self._stage = stage
        self._tracer = tracer
        self._parent = trace.get_current_span()
        self._unknown_metric = False

    def span(self, name: str, attributes: dict[str, str]) -> AbstractContextManager[Span]:
        """A span of the parent's own work."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def moved(self, direction: str, role: str, size: int, since_ns: int) -> None:
        """A whole sequence of chunks was put or got, side by side with the work: one span, not one per chunk."""
        attributes: dict[str, str | int] = {"artifact.role": role, "artifact.bytes": size}
        context = trace.set_span_in_context(self._parent)
        span = self._tracer.start_span(f"artifact.{direction}", context, attributes=attributes, start_time=since_ns)
        span.end()
        self.bytes(direction, size)

    def bytes(self, direction: str, size: int) -> None:
        """Artifact bytes moved."""
        metrics.ARTIFACT_BYTES.labels(self._stage, direction).inc(size)

    def cache(self, *, hit: bool) -> None:
        """A look into the output cache."""
        metrics.CACHE.labels(self._stage, "hit" if hit else "miss").inc()

    def cached(self, spec: StageSpec, output: StageOutput) -> None:
        """The span of work that a cached output saved: same name, same figures, marked."""
        if spec.span is None:
            return
        metadata = {name: output.metadata.get(fact) for name, fact in spec.metadata_attributes.items()}
        figures = {name: value for name, value in metadata.items() if isinstance(value, bool | int | float | str)}
        self._tracer.start_span(spec.span, attributes={**figures, "cached": True}).end()

    def take(self, record: records.FromWorker) -> None:
        """A span, log line or counter of the worker; anything else is not a report."""
        match record:
            case records.Span():
                self._span(record)
            case records.Log():
                log_record(record)
            case records.Metric():
                counter = metrics.FROM_WORKERS.get(record.name)
                if counter is None:
                    if not self._unknown_metric:  # Its name is the worker's own: once is enough.
                        log.warning("unknown_metric", metric=record.name)
                    self._unknown_metric = True
                else:
                    counter.labels(self._stage).inc(record.amount)

    def _span(self, record: records.Span) -> None:
        """The worker timed it; its id is kept, so that spans which arrive before their parent still fit."""
        with preset_span_id(int(record.span_id, 16)):
            span = self._tracer.start_span(
                record.name,
                context=self._context(record.parent_id),
                kind=SpanKind.INTERNAL,
                attributes=record.attributes,
                start_time=record.start_ns,
            )
        for event in record.events:
            span.add_event(event.name, event.attributes, event.time_ns)
        if record.error is not None:
            span.set_attribute("error.type", record.error.type)
            span.set_status(Status(StatusCode.ERROR, record.error.message))
        span.end(record.end_ns)

    def _context(self, parent_id: str | None) -> Context:
        if parent_id is None:
            return trace.set_span_in_context(self._parent)
        own = self._parent.get_span_context()
        inner = SpanContext(own.trace_id, int(parent_id, 16), is_remote=False, trace_flags=own.trace_flags)
        return trace.set_span_in_context(NonRecordingSpan(inner))
