"""The trace of a record: the sender's, or one whose id is derived from the job.

A derived id is the same for every record of the job: a redelivery, and a request that a client sends twice, stay in one
trace. W3C Trace Context; OpenTelemetry's messaging conventions require a link to the sender.
"""

import hashlib
from dataclasses import dataclass

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, get_current_span
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.messages.delivery_headers import read_delivery, source_of
from shared.messages.identity import identify_best_effort
from shared.messages.json_text import json_text
from shared.messages.lanes import lane_of
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Record
from shared.telemetry.attributes import registered
from shared.telemetry.carriers import Carrier, carrier
from shared.telemetry.ids import derived_trace_id
from shared.telemetry.propagation import extract

SENDER, PREVIOUS_ATTEMPT, REPLAY_OF = "sender", "previous_attempt", "replay_of"
"""Values of ``link.kind``."""


@dataclass(frozen=True, slots=True)
class RecordTrace:
    """Parent, links and trace id of a record's process span."""

    parent: Context
    """Context of the parent span; empty for the root of a trace."""
    links: list[Link]
    """Link to the sender's span, if the record names one; of a replay also to the trace that it repeats."""
    root_id: int
    """Trace id, if the span is a root."""


class _Stored(BaseModel):
    """The trace context of the request, as stored in a task."""

    model_config = ConfigDict(extra="ignore")

    submit_traceparent: str | None = None
    submit_tracestate: str | None = None

    @classmethod
    def of(cls, record: Record) -> Carrier:
        """The context that the record's task names; an empty carrier where none is read."""
        try:
            stored = cls.model_validate_json(json_text(record.value or b""))
        except ValidationError:
            return Carrier()
        return Carrier(stored.submit_traceparent, stored.submit_tracestate)


def of_request(record: Record, *, trusted: bool) -> RecordTrace:
    """The trace of a record on ``render.requests``.

    When ``trusted`` is False, the sender's context is only linked: an untrusted producer must not choose the job's
    trace, or exclude it by the sampled flag.
    """
    source = source_of(record.headers, record.topic, record.partition, record.offset)
    best_effort = identify_best_effort(record.value, record.key, source.topic, source.partition, source.offset)
    body = hashlib.sha256(record.value or b"").hexdigest()
    # The body is part of the id: another request under the same job id gets its own trace. So does a replay.
    replays = read_delivery(record.headers).replays
    of_replay = (str(replays),) if replays else ()
    root_id = derived_trace_id(best_effort.tenant, best_effort.identity.job_id, body, *of_replay)
    sender = extract(record.headers)
    return RecordTrace(sender if trusted else Context(), _link(sender, _kind(record)), root_id)


def submit_carrier(record: Record, *, trusted: bool) -> Carrier:
    """The parent of the render's summary span: the sender's span, or, where it is unknown or untrusted, the current
    span, which is the root of the job's trace."""
    sender = extract(record.headers)
    use_sender = trusted and get_current_span(sender).get_span_context().is_valid
    return carrier(sender if use_sender else get_current())


def of_task(record: Record) -> RecordTrace:
    """The trace of a record between stages, which another stage sent.

    A record without a traceparent, as after a manual copy, continues the trace that the task names. A replay is in a
    trace of its own, and linked to the one that its task names.
    """
    sender = extract(record.headers)
    source = source_of(record.headers, record.topic, record.partition, record.offset)
    root_id = derived_trace_id(source.topic, str(source.partition), str(source.offset))
    if not get_current_span(sender).get_span_context().is_valid:
        return RecordTrace(_Stored.of(record).context(), [], root_id)
    links = _link(sender, _kind(record))
    if read_delivery(record.headers).replays:
        named = _Stored.of(record).context()
        links += _link(named, REPLAY_OF) if _trace(named) != _trace(sender) else []
    return RecordTrace(sender, links, root_id)


def of_replay(record: Record, task: RenderTask) -> RenderTask:
    """The task with the carrier of its replay, where the record is one: the trace in which the render goes on, and
    under which its summary lies. Any other task as it is."""
    if not read_delivery(record.headers).replays:
        return task
    sender = extract(record.headers)
    named = Carrier(task.submit_traceparent, task.submit_tracestate)
    if not _trace(sender) or _trace(sender) == _trace(named.context()):
        return task
    new = carrier(sender)
    update = {"submit_traceparent": new.traceparent, "submit_tracestate": new.tracestate}
    return task.model_copy(update=update)


def _trace(context: Context) -> int:
    """The trace id; 0 outside a trace."""
    return get_current_span(context).get_span_context().trace_id


def _kind(record: Record) -> str:
    """What the sender's span is to the record's: on a retry, the attempt that failed sent the record again."""
    delivery = read_delivery(record.headers)
    # An uncounted retry, as while the circuit breaker is open, changes neither number; it has a time of origin, too.
    # So has a request that was passed on to the other lane, and its sender is still the sender.
    moved = delivery.origin is not None and lane_of(delivery.origin.topic) != lane_of(record.topic)
    repeated = delivery.origin_ms is not None and not moved
    retried = delivery.attempt > 1 or delivery.retries or repeated or delivery.retry_topic
    return PREVIOUS_ATTEMPT if retried else SENDER


def _link(context: Context, kind: str) -> list[Link]:
    span = get_current_span(context).get_span_context()
    return [Link(span, registered({"link.kind": kind}))] if span.is_valid else []


def of_unread(record: Record) -> RecordTrace:
    """A trace of the record's own, for which nothing in it is read."""
    return RecordTrace(Context(), [], derived_trace_id(record.topic, str(record.partition), str(record.offset)))


def span_attributes(record: Record, group: str, wait_ms: int) -> dict[str, str | int]:
    """Attributes of a record's process span: OpenTelemetry's semantic conventions for messaging, and the wait in the
    queue. ``group`` is the consumer group."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": group,
        "queue.wait_ms": wait_ms,
    }
