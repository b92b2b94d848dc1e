"""In which trace a record's work belongs: its sender's, or one of its own whose id follows from the job.

An id that follows from the job is the same for every record of it: a redelivery, and a client that sends its request
twice, stay in one trace. W3C Trace Context; OpenTelemetry's messaging conventions ask for a link to the sender.
"""

import hashlib
from dataclasses import dataclass

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, get_current_span
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.messages.identity import identify_best_effort
from shared.runtime.consume.assignment import Record
from shared.telemetry.ids import derived_trace_id
from shared.telemetry.propagation import extract, parent, traceparent


@dataclass(frozen=True, slots=True)
class RecordTrace:
    """Where the process span of a record goes."""

    parent: Context
    """What the span continues; empty for the root of a trace."""
    links: list[Link]
    """To the sender's span, if the record names one."""
    root_id: int
    """Trace id of a root."""

    @property
    def is_root(self) -> bool:
        """Whether the span begins a trace."""
        return not get_current_span(self.parent).get_span_context().is_valid


class _Stored(BaseModel):
    """What a task remembers of its request's trace."""

    model_config = ConfigDict(extra="ignore")

    submit_traceparent: str | None = None


def of_request(record: Record, *, trusted: bool) -> RecordTrace:
    """The trace of a record on ``render.requests``.

    ``trusted`` False leaves the sender's context at a link: a producer of somebody else's may not put the job into a
    trace of its choice, or have it left out by the sampled flag.
    """
    found = identify_best_effort(record.value, record.key, record.topic, record.partition, record.offset)
    body = hashlib.sha256(record.value or b"").hexdigest()
    # With the body: another request under the job's id is refused, and is none of that job's story.
    root_id = derived_trace_id(found.tenant, found.identity.job_id, body)
    sender = extract(record.headers)
    span = get_current_span(sender).get_span_context()
    links = [Link(span)] if span.is_valid else []
    return RecordTrace(sender if trusted else Context(), links, root_id)


def submit_traceparent(record: Record, *, trusted: bool) -> str | None:
    """What the render's summary span belongs under: the sender's span, or, where it is not known or not trusted, the
    current one, which is the root of the job's trace."""
    sender = extract(record.headers)
    known = trusted and get_current_span(sender).get_span_context().is_valid
    return traceparent(sender if known else get_current())


def of_task(record: Record) -> RecordTrace:
    """The trace of a record between stages: its sender is a stage of ours.

    One without a traceparent (somebody copied it by hand) goes on in the trace that the task names.
    """
    sender = extract(record.headers)
    span = get_current_span(sender).get_span_context()
    root_id = derived_trace_id(record.topic, str(record.partition), str(record.offset))
    if span.is_valid:
        return RecordTrace(sender, [Link(span)], root_id)
    try:
        stored = _Stored.model_validate_json(record.value or b"")
    except ValidationError:
        stored = _Stored()
    return RecordTrace(parent(stored.submit_traceparent), [], root_id)
