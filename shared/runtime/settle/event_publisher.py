"""Publishes job events on ``render.events``; each job gets exactly one terminal event, whichever stage publishes it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

from shared.messages import headers as message_headers
from shared.messages.codes import Code
from shared.messages.events import (
    Accepted,
    AnyEvent,
    Conflict,
    DeadLetterRef,
    Failed,
    Finished,
    Progress,
    RejectedEvent,
    Retrying,
    Started,
    TerminalEvent,
    Waiting,
    WarningGiven,
)
from shared.messages.outcome import outcome_of
from shared.messages.task import StageOutput
from shared.messages.tiers import Tier
from shared.messages.topics import EVENTS
from shared.runtime.disposition import JobContext, Rejected
from shared.runtime.failures import RecordRefused
from shared.runtime.producers import Delivery, EventProducer
from shared.runtime.settle import render_metrics
from shared.runtime.settle.accounting import accounted
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.protocols import Documents
from shared.telemetry.propagation import inject, sampled, trace_id

log = structlog.get_logger()
_PENDING: ContextVar[list[Delivery]] = ContextVar("pending_events")

PROGRESS_EVERY_S = 0.5
"""Shortest interval of progress events of a job: a browser shows no more, and a day of renders must stay readable."""


class EventPublisher:
    """Publishes the events of one stage, each record's in ``of_one_record``. Thread-safe; shared by its slots."""

    def __init__(
        self,
        stage: str,
        topic_prefix: str,
        producers: EventProducer,
        documents: Documents,
        topic_of: Callable[[str], str] | None = None,
    ) -> None:
        """``topic_of`` returns the full name of the topic of a tenant's events; None: all are on the shared one."""
        self._stage = stage
        self._topic_of = topic_of or (lambda _: topic_prefix + EVENTS)
        self._producers = producers
        self._documents = documents

    def accepted(self, job: JobContext, engine: str) -> None:
        """The request is valid."""
        self._send(Accepted(**self._base(job), engine=engine))

    def started(self, job: JobContext) -> None:
        """An attempt of this stage begins."""
        self._send(Started(**self._common(job), stage=self._stage))

    def progress(self, job: JobContext, done: int, total: int) -> None:
        """The attempt has done ``done`` of ``total`` units of work."""
        percent = round(100.0 * done / total, 1) if total else 0.0
        self._send(Progress(**self._common(job), stage=self._stage, percent=percent, done=done, total=total))

    def waiting(self, job: JobContext, code: Code, message: str) -> None:
        """The stage waits for the object store or for disk space."""
        self._send(Waiting(**self._common(job), stage=self._stage, code=code, message=message))

    def finished(self, job: JobContext, output: StageOutput) -> None:
        """The stage is complete; publishes the warnings of its output, too."""
        base = self._common(job)
        for warning in output.warnings:
            self._send(WarningGiven(**base, stage=self._stage, code=warning.code, message=warning.message))
        self._send(Finished(**base, stage=self._stage, seconds=output.seconds, cached=output.cached))

    def conflict(self, job: JobContext) -> None:
        """Another request owns the job id; the other job continues."""
        message = "Another request has this job id; send this request with another id."
        self._send(Conflict(**self._common(job), message=message))

    def rejected(self, job: JobContext, rejected: Rejected) -> TerminalEvent | None:
        """End the job: the request or its input can't be rendered. Returns the event as ``end`` does."""
        event = RejectedEvent(
            **self._base(job),
            stage=self._stage,
            code=rejected.error_code,
            message=rejected.message,
            field=rejected.field,
            allowed=rejected.allowed,
            retry_at_ms=rejected.retry_at_ms,
        )
        return self._end_of(job, event)

    def failed(
        self, job: JobContext, code: Code, message: str, dead_letter: DeadLetterRef | None = None
    ) -> TerminalEvent | None:
        """End the job: it failed, expired or was cancelled. ``dead_letter`` names its record on the dead-letter
        topic. Returns the event as ``end`` does."""
        event = Failed(**self._base(job), stage=self._stage, code=code, message=message, dead_letter=dead_letter)
        return self._end_of(job, event)

    def _end_of(self, job: JobContext, event: TerminalEvent) -> TerminalEvent | None:
        """As ``end``; without the object store for a job of which it has nothing."""
        if job.is_stored:
            return self.end(event, job)
        self._send(event)
        render_metrics.ended(event, job)
        return event

    def end(self, event: TerminalEvent, job: JobContext | None = None) -> TerminalEvent | None:
        """End the job with this event unless it has ended; publishes and returns the event that was stored first.

        Returns None when the stored event can't be read: a later version wrote it, and has published it. When the
        object store refuses the document, the event is published without being stored: a redelivery may then publish
        another one, which is better than a job without a terminal event. Metrics take what ``event`` does not
        say from ``job``.
        """
        try:
            claim = markers.claim_end(self._documents, event.tenant, event.job_id, event)
        except ArtifactAltered as e:
            log.warning("end_unreadable", error=str(e))
            return None
        except ArtifactRefused as e:
            log.error("end_not_stored", code=e.code.value)
            self._send(event)
            render_metrics.ended(event, job)
            return event
        self._send(claim.winner)
        # A client stores the end of the job that it cancels, and counts nothing: whoever stops the work does.
        if claim.won or outcome_of(event) == outcome_of(claim.winner) == "cancelled":
            render_metrics.ended(claim.winner, job)
        return claim.winner

    def repeat(self, event: TerminalEvent) -> None:
        """Publish a stored terminal event again, after a redelivery of an ended job's record."""
        self._send(event)

    def retrying(self, job: JobContext, code: Code, message: str, tier: Tier, due_ms: int, next_attempt: int) -> None:
        """The attempt failed; the next one is due at ``due_ms``, milliseconds since the epoch."""
        fields = {"code": code, "message": message, "tier": tier.name, "due_ms": due_ms, "next_attempt": next_attempt}
        self._send(Retrying(**self._common(job), stage=self._stage, **fields))

    @contextmanager
    def of_one_record(self) -> Iterator[None]:
        """Events published in the block, also by threads that copy its context, belong to one record: ``flush`` waits
        for them, and for no other record's."""
        token = _PENDING.set([])
        try:
            yield
        finally:
            _PENDING.reset(token)

    def flush(self) -> None:
        """Wait until the broker has every event of the current record. Raises DeliveryFailed.

        An event that the broker never accepts is logged and left out: each redelivery would publish it again.
        """
        pending = _PENDING.get()
        while pending:
            try:
                pending[0].wait()
            except RecordRefused as e:
                log.error("event_refused", error=str(e))
            del pending[0]

    def _base(self, job: JobContext) -> dict[str, Any]:
        """Of the first and the last event of a job."""
        return self._common(job) | accounted(job)

    def _common(self, job: JobContext) -> dict[str, Any]:
        return {
            "job_id": job.job_id,
            "tenant": job.tenant,
            "request_id": job.request_id,
            "time_ms": time.time_ns() // 1_000_000,
            "attempt": job.attempt,
            "trace_id": trace_id(),
            "replays": job.replays,
            "sampled": sampled(),
            "batch": job.batch,
            "labels": job.labels,
        }

    def _send(self, event: AnyEvent) -> None:
        value = event.model_dump_json(exclude_none=True).encode()
        headers = [*message_headers.event_headers(event), *inject()]
        delivery = self._producers.send(self._topic_of(event.tenant), event.job_id.encode(), value, headers)
        _PENDING.get().append(delivery)


class ProgressReporter:
    """Publishes the progress of one attempt at most every ``PROGRESS_EVERY_S``; always the first, and the last once."""

    def __init__(self, events: EventPublisher, job: JobContext) -> None:
        self._events = events
        self._job = job
        self._published_at = -math.inf
        self._complete = False

    def __call__(self, done: int, total: int) -> None:
        """Report ``done`` of ``total`` units of work."""
        now = time.monotonic()
        last = done >= total and not self._complete
        if not last and now - self._published_at < PROGRESS_EVERY_S:
            return
        self._complete = self._complete or last
        self._published_at = now
        self._events.progress(self._job, done, total)
