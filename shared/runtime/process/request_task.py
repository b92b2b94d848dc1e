"""The task that a request is: for the front, and for the summary of a job whose request never becomes a task."""

import time

from pydantic import ValidationError

from shared.messages.delivery_headers import read_delivery
from shared.messages.lanes import BULK, INTERACTIVE, Lane, lane_of
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.topics import DAY_MS
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import JobContext

OLDEST_ORIGIN_MS = 90 * DAY_MS
"""An older origin of a record is not plausible, milliseconds: a sender could choose it, and the span of the whole
render would begin then."""


def submitted_ms(record: Record) -> int:
    """When the request arrived at the broker for the first time, milliseconds since the epoch: a record that was
    retried has a later timestamp than the one that deadline and duration count from."""
    appended_ms = record.appended_ms(time.time_ns() // 1_000_000)
    origin_ms = read_delivery(record.headers).origin_ms
    if origin_ms is None or origin_ms < record.timestamp_ms - OLDEST_ORIGIN_MS:
        return appended_ms
    return min(appended_ms, origin_ms)


def lane_of_request(record: Record, request: RenderRequest) -> Lane:
    """The lane of the job: bulk where the request says so, and whatever it says on the bulk topic."""
    return BULK if BULK in (request.lane, lane_of(record.topic)) else INTERACTIVE


def task_of(record: Record, request: RenderRequest, job: JobContext, *, trusted: bool) -> RenderTask:
    """The task, before any stage. ``trusted``: as of `trace_context.submit_carrier`. Raises ValidationError for an id
    or a broker's time that no task can have."""
    sender = trace_context.submit_carrier(record, trusted=trusted)
    return RenderTask(
        job_id=job.job_id,
        request_id=job.request_id,
        request=request,
        submitted_ms=submitted_ms(record),
        submit_traceparent=sender.traceparent,
        submit_tracestate=sender.tracestate,
        lane=lane_of_request(record, request),
    )


def known_of(record: Record, request: RenderRequest | None, job: JobContext, *, trusted: bool) -> RenderTask | None:
    """What is known of the job for its summary, also when it is refused; None where the record can't be read."""
    try:
        return task_of(record, request, job, trusted=trusted) if request is not None else None
    except ValidationError:
        return None
