"""Says what happens to a job on ``render.events``; a job's end is said once, whoever says it."""

import time
from dataclasses import dataclass, field
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
from shared.messages.request import Batch
from shared.messages.task import RenderTask, StageOutput
from shared.messages.topics import EVENTS
from shared.runtime.producers import Delivery, Producers, RecordRefused
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.store import Store
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.telemetry.propagation import inject, trace_id

log = structlog.get_logger()

PROGRESS_EVERY_S = 0.5
"""At most two progress events a second and job: a browser shows no more, and a day of renders must stay readable."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job that is spoken of."""

    job_id: str
    tenant: str
    request_id: str
    batch: Batch | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: RenderTask) -> "JobContext":
        """The task's job."""
        request = task.request
        return cls(task.job_id, request.tenant, task.request_id, request.batch, dict(request.labels))


class EventPublisher:
    """One stage's voice. One per task: it counts attempts and spaces progress out."""

    def __init__(self, stage: str, topic: str, producers: Producers, store: Store, retry: RetryPolicy) -> None:
        self._stage = stage
        self._topic = topic + EVENTS
        self._producers = producers
        self._store = store
        self._retry = retry
        self._pending: list[Delivery] = []
        self._progress_at = 0.0
        self._last_of = 0
        self.attempt = 1
        self.ended = False
        """Whether the job's end was said here."""

    def accepted(self, job: JobContext, engine: str) -> None:
        """The request is valid."""
        self._say(Accepted(**self._base(job), engine=engine))

    def started(self, job: JobContext) -> None:
        """An attempt of this stage begins."""
        self._say(Started(**self._base(job), stage=self._stage))

    def progress(self, job: JobContext, done: int, total: int) -> None:
        """How far the attempt is; the first and the last are always said, the last once."""
        now = time.monotonic()
        last = done >= total and self._last_of != self.attempt
        if not last and now - self._progress_at < PROGRESS_EVERY_S:
            return
        if last:
            self._last_of = self.attempt
        self._progress_at = now
        percent = round(100.0 * done / total, 1) if total else 0.0
        self._say(Progress(**self._base(job), stage=self._stage, percent=percent, done=done, total=total))

    def waiting(self, job: JobContext, code: Code, message: str) -> None:
        """The stage waits for the store or for disk space; the job is not at fault."""
        self._say(Waiting(**self._base(job), stage=self._stage, code=code, message=message))

    def finished(self, job: JobContext, output: StageOutput) -> None:
        """The stage's output and its warnings."""
        for warning in output.warnings:
            self._say(WarningGiven(**self._base(job), stage=self._stage, code=warning.code, message=warning.message))
        self._say(Finished(**self._base(job), stage=self._stage, seconds=output.seconds, cached=output.cached))

    def conflict(self, job: JobContext) -> None:
        """The id is another request's; that job goes on untouched."""
        message = "Another request has this job id; send this one under an id of its own."
        self._say(Conflict(**self._base(job), message=message))

    def rejected(
        self, job: JobContext, code: Code, message: str, field: str | None = None, allowed: str | None = None
    ) -> None:
        """End the job: the input can't be rendered."""
        self.end(
            RejectedEvent(
                **self._base(job), stage=self._stage, code=code, message=message, field=field, allowed=allowed
            )
        )

    def failed(self, job: JobContext, code: Code, message: str) -> None:
        """End the job: we could not render it, or it was cancelled."""
        self.end(Failed(**self._base(job), stage=self._stage, code=code, message=message))

    def end(self, event: TerminalEvent) -> TerminalEvent | None:
        """End the job with this event, unless it has ended; what is said is what was stored first.

        None when what was stored can't be read: a later version wrote it, and has said it. Where the store refuses the
        job's end it is said all the same: a redelivery may then say another, which is better than a job without one.
        """
        try:
            claim = self._retry(lambda: markers.claim_end(self._store.documents, event.tenant, event.job_id, event))
        except ArtifactAltered as e:
            log.warning("end_unreadable", error=str(e))
            return None
        except ArtifactRefused as e:
            log.error("end_not_stored", code=e.code.value)
            self._say_end(event)
            return event
        self._say_end(claim.winner)
        return claim.winner

    def say_end_again(self, ending: TerminalEvent) -> None:
        """The job has ended before; its record came once more."""
        self._say_end(ending)

    def _say_end(self, ending: TerminalEvent) -> None:
        self._say(ending)
        self.ended = True

    def settle(self) -> None:
        """Wait until everything said is on the broker. Raises DeliveryFailed.

        An event that the broker will never take is logged and left out: the record would say it again each time.
        """
        for delivery in self._pending:
            try:
                delivery.wait()
            except RecordRefused as e:
                log.error("event_refused", error=str(e))
        self._pending.clear()

    def _base(self, job: JobContext) -> dict[str, Any]:
        return {
            "job_id": job.job_id,
            "tenant": job.tenant,
            "request_id": job.request_id,
            "time_ms": time.time_ns() // 1_000_000,
            "attempt": self.attempt,
            "trace_id": trace_id(),
            "batch": job.batch,
            "labels": job.labels,
        }

    def _say(self, event: AnyEvent) -> None:
        value = event.model_dump_json(exclude_none=True).encode()
        found = [*message_headers.event_headers(event), *inject()]
        self._pending.append(self._producers.send(self._topic, event.job_id.encode(), value, found))
