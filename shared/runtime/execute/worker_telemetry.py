"""Converts the telemetry records of a worker into the parent's spans, log lines and metrics."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Tracer
from pydantic import JsonValue

from shared.messages.task import StageOutput
from shared.slot import records
from shared.slot.spec import StageSpec
from shared.telemetry import metrics
from shared.telemetry.attributes import registered
from shared.telemetry.failing import failed, failed_by, work_span
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
    "logger",
    "job",
    "tenant",
    "attempt",
    "trace_id",
    "span_id",
}
"""Field names that the log's processors use."""


def plain(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """A worker's log fields, with a suffix where the name is reserved."""
    return {f"{name}_" if name in RESERVED else name: value for name, value in fields.items()}


def log_record(record: records.Log) -> None:
    """Log a worker's log line."""
    getattr(log, record.level)(record.event, **plain(record.fields))


class WorkerTelemetry:
    """The telemetry of one attempt; spans become children of the span that is current at construction."""

    def __init__(self, stage: str, tracer: Tracer) -> None:
        self._stage = stage
        self._tracer = tracer
        self._parent = trace.get_current_span()
        self._unknown_metric = False

    def span(self, name: str, attributes: dict[str, str]) -> AbstractContextManager[Span]:
        """A span of work in the parent process."""
        return work_span(self._tracer, name, registered(attributes))

    def past_span(
        self,
        name: str,
        attributes: Mapping[str, object],
        since_ns: int,
        until_ns: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Export a span of work that has ended, or ends now; times in nanoseconds since the epoch."""
        context = trace.set_span_in_context(self._parent)
        span = self._tracer.start_span(name, context, attributes=registered(attributes), start_time=since_ns)
        if error is not None:
            failed_by(span, error)
        span.end(until_ns)

    def moved(self, direction: str, role: str, size: int, since_ns: int, until_ns: int | None = None) -> None:
        """Export one span for a whole sequence of chunks, transferred concurrently with the work.

        ``direction`` is put or get, ``size`` is in bytes; the transfer started at ``since_ns`` and ended at
        ``until_ns``, by default now, nanoseconds since the epoch.
        """
        self.past_span(f"artifact.{direction}", {"artifact.role": role, "artifact.bytes": size}, since_ns, until_ns)
        self.bytes(direction, size)

    def bytes(self, direction: str, size: int) -> None:
        """Count ``size`` transferred artifact bytes; ``direction`` is put or get."""
        metrics.ARTIFACT_BYTES.labels(self._stage, direction).inc(size)

    def cache(self, *, hit: bool) -> None:
        """Count a lookup in the output cache."""
        metrics.CACHE.labels(self._stage, "hit" if hit else "miss").inc()

    def cached(self, spec: StageSpec, output: StageOutput) -> None:
        """Export the span of the work that a cached output replaces: same name and attributes, and ``cached``."""
        if spec.span is None:
            return
        metadata = {name: output.metadata.get(key) for name, key in spec.metadata_attributes.items()}
        self._tracer.start_span(spec.span, attributes=registered({**metadata, "cached": True})).end()

    def take(self, record: records.FromWorker) -> None:
        """Export a span, log line or counter of the worker; ignore other records."""
        match record:
            case records.Span():
                self._span(record)
            case records.Log():
                log_record(record)
            case records.Metric():
                counter = metrics.FROM_WORKERS.get(record.name)
                if counter is None:
                    if not self._unknown_metric:  # The worker chooses the name: log it once.
                        log.warning("unknown_metric", metric=record.name)
                    self._unknown_metric = True
                else:
                    counter.labels(self._stage).inc(record.amount)

    def _span(self, record: records.Span) -> None:
        """Export a span with the worker's timestamps and span id, so that a child may arrive before its parent."""
        with preset_span_id(int(record.span_id, 16)):
            span = self._tracer.start_span(
                record.name,
                context=self._context(record.parent_id),
                kind=SpanKind.INTERNAL,
                attributes=registered(record.attributes, may_raise=False),
                start_time=record.start_ns,
            )
        for event in record.events:
            span.add_event(event.name, registered(event.attributes, may_raise=False), event.time_ns)
        if record.error is not None:
            failed(span, record.error)
        span.end(record.end_ns)

    def _context(self, parent_id: str | None) -> Context:
        if parent_id is None:
            return trace.set_span_in_context(self._parent)
        root = self._parent.get_span_context()
        context = SpanContext(root.trace_id, int(parent_id, 16), is_remote=False, trace_flags=root.trace_flags)
        return trace.set_span_in_context(NonRecordingSpan(context))
