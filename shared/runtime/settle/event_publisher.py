"""Events of jobs on ``render.events``; a job gets one terminal event, whoever publishes it."""

import math
import time
from threading import Lock
from typing import Any

import structlog

from shared.messages import headers as message_headers
from shared.messages.codes import Code
from shared.messages.events import (
    Accepted,
    AnyEvent,
    Conflict,
    Failed,
    Finished,
    Progress,
    RejectedEvent,
    Started,
    TerminalEvent,
    Waiting,
    WarningGiven,
)
from shared.messages.task import StageOutput
from shared.messages.topics import EVENTS
from shared.runtime.disposition import JobContext
from shared.runtime.failures import RecordRefused
from shared.runtime.producers import Delivery, EventProducer
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.protocols import Documents
from shared.telemetry.propagation import inject, trace_id

log = structlog.get_logger()

PROGRESS_EVERY_S = 0.5
"""At most two progress events a second and job: a browser shows no more, and a day of renders must stay readable."""


class EventPublisher:
    """The events of one stage. Thread-safe; shared by its slots."""

    def __init__(self, stage: str, topic_prefix: str, producers: EventProducer, documents: Documents) -> None:
        self._stage = stage
        self._topic = topic_prefix + EVENTS
        self._producers = producers
        self._documents = documents
        self._pending: set[Delivery] = set()
        self._lock = Lock()

    def accepted(self, job: JobContext, engine: str) -> None:
        """The request is valid."""
        self._send(Accepted(**self._base(job), engine=engine))

    def started(self, job: JobContext) -> None:
        """An attempt of this stage begins."""
        self._send(Started(**self._base(job), stage=self._stage))

    def progress(self, job: JobContext, done: int, total: int) -> None:
        """How far the attempt is: ``done`` of ``total`` pieces of work."""
        percent = round(100.0 * done / total, 1) if total else 0.0
        self._send(Progress(**self._base(job), stage=self._stage, percent=percent, done=done, total=total))

    def waiting(self, job: JobContext, code: Code, message: str) -> None:
        """The stage waits for the object store or for disk space; the job is not at fault."""
        self._send(Waiting(**self._base(job), stage=self._stage, code=code, message=message))

    def finished(self, job: JobContext, output: StageOutput) -> None:
        """The stage's output and its warnings."""
        base = self._base(job)
        for warning in output.warnings:
            self._send(WarningGiven(**base, stage=self._stage, code=warning.code, message=warning.message))
        self._send(Finished(**base, stage=self._stage, seconds=output.seconds, cached=output.cached))

    def conflict(self, job: JobContext) -> None:
        """The job id is another request's; that job continues untouched."""
        message = "Another request has this job id; send this one under an id of its own."
        self._send(Conflict(**self._base(job), message=message))

    def rejected(self, job: JobContext, code: Code, message: str, field: str | None, allowed: str | None) -> None:
        """End the job: the request or its input can't be rendered."""
        base = self._base(job)
        self.end(RejectedEvent(**base, stage=self._stage, code=code, message=message, field=field, allowed=allowed))

    def failed(self, job: JobContext, code: Code, message: str) -> None:
        """End the job: it could not be rendered, or it was cancelled."""
        self.end(Failed(**self._base(job), stage=self._stage, code=code, message=message))

    def end(self, event: TerminalEvent) -> TerminalEvent | None:
        """End the job with this event, unless it has ended; what is published is what was stored first.

        None when what was stored can't be read: a later version wrote it, and has published it. Where the store refuses
        the document the event is published all the same: a redelivery may then publish another, which is better than a
        job without one.
        """
        try:
            claim = markers.claim_end(self._documents, event.tenant, event.job_id, event)
        except ArtifactAltered as e:
            log.warning("end_unreadable", error=str(e))
            return None
        except ArtifactRefused as e:
            log.error("end_not_stored", code=e.code.value)
            self._send(event)
            return event
        self._send(claim.winner)
        return claim.winner

    def repeat(self, event: TerminalEvent) -> None:
        """Publish a stored terminal event again: the record of an ended job was delivered once more."""
        self._send(event)

    def flush(self) -> None:
        """Wait until everything published so far is on the broker. Raises DeliveryFailed.

        An event that the broker will never accept is logged and left out: the record would publish it again each time.
        """
        with self._lock:
            pending = tuple(self._pending)
        # Those of other slots too: an event must not leave the list before whoever published it has waited for it.
        for delivery in pending:
            try:
                delivery.wait()
            except RecordRefused as e:
                log.error("event_refused", error=str(e))
        with self._lock:
            self._pending.difference_update(pending)

    def _base(self, job: JobContext) -> dict[str, Any]:
        return {
            "job_id": job.job_id,
            "tenant": job.tenant,
            "request_id": job.request_id,
            "time_ms": time.time_ns() // 1_000_000,
            "attempt": job.attempt,
            "trace_id": trace_id(),
            "batch": job.batch,
            "labels": job.labels,
        }

    def _send(self, event: AnyEvent) -> None:
        value = event.model_dump_json(exclude_none=True).encode()
        headers = [*message_headers.event_headers(event), *inject()]
        delivery = self._producers.send(self._topic, event.job_id.encode(), value, headers)
        with self._lock:
            self._pending.add(delivery)


class ProgressReporter:
    """Publishes the progress of one attempt, spaced out; the first and the last are always published, the last once."""

    def __init__(self, events: EventPublisher, job: JobContext) -> None:
        self._events = events
        self._job = job
        self._published_at = -math.inf
        self._complete = False

    def __call__(self, done: int, total: int) -> None:
        """Report ``done`` of ``total`` pieces of work."""
        now = time.monotonic()
        last = done >= total and not self._complete
        if not last and now - self._published_at < PROGRESS_EVERY_S:
            return
        self._complete = self._complete or last
        self._published_at = now
        self._events.progress(self._job, done, total)
