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
from shared.runtime.consume.assignment import Record
from shared.telemetry.ids import derived_trace_id
from shared.telemetry.propagation import extract, parent, traceparent


@dataclass(frozen=True, slots=True)
class RecordTrace:
    """Parent, links and trace id of a record's process span."""

    parent: Context
    """Context of the parent span; empty for the root of a trace."""
    links: list[Link]
    """Link to the sender's span, if the record names one."""
    root_id: int
    """Trace id, if the span is a root."""


class _Stored(BaseModel):
    """The trace context of the request, as stored in a task."""

    model_config = ConfigDict(extra="ignore")

    submit_traceparent: str | None = None


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
    span = get_current_span(sender).get_span_context()
    links = [Link(span)] if span.is_valid else []
    return RecordTrace(sender if trusted else Context(), links, root_id)


def submit_traceparent(record: Record, *, trusted: bool) -> str | None:
    """The parent of the render's summary span: the sender's span, or, where it is unknown or untrusted, the current
    span, which is the root of the job's trace."""
    sender = extract(record.headers)
    use_sender = trusted and get_current_span(sender).get_span_context().is_valid
    return traceparent(sender if use_sender else get_current())


def of_task(record: Record) -> RecordTrace:
    """The trace of a record between stages, which another stage sent.

    A record without a traceparent, as after a manual copy, continues the trace that the task names.
    """
    sender = extract(record.headers)
    span = get_current_span(sender).get_span_context()
    source = source_of(record.headers, record.topic, record.partition, record.offset)
    root_id = derived_trace_id(source.topic, str(source.partition), str(source.offset))
    if span.is_valid:
        return RecordTrace(sender, [Link(span)], root_id)
    try:
        stored = _Stored.model_validate_json(json_text(record.value or b""))
    except ValidationError:
        stored = _Stored()
    return RecordTrace(parent(stored.submit_traceparent), [], root_id)


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
