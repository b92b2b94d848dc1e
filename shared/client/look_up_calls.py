"""The client's methods that look jobs up: in the projection where one answers, else in the events and the store."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING

from shared.client import history
from shared.client.connection import Connection
from shared.client.errors import ClientError, InvalidRequest
from shared.client.job_key import JobKey
from shared.client.job_like import JobLike, key_of
from shared.client.job_state import STATUSES, JobState
from shared.client.projection import ProjectionCalls
from shared.client.topic_log import Offsets
from shared.messages.events import AnyEvent, TerminalEvent
from shared.messages.scan_limits import MAX_EVENTS, MAX_EVENTS_OF_AUDIT, MAX_EVENTS_OF_JOB

if TYPE_CHECKING:
    from shared.client.audit import Audit, AuditFilter


class LookUpCalls(ABC):
    """See `shared.client.client.Client`."""

    _projection_calls: ProjectionCalls

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The Kafka and S3 clients."""

    def jobs(
        self,
        *,
        limit: int | None = None,
        tenant: str | None = None,
        batch: str | None = None,
        statuses: Collection[str] = (),
        since_ms: int = 0,
        until_ms: int | None = None,
        max_events: int = MAX_EVENTS,
    ) -> list[JobState]:
        """The newest jobs, newest first: of every tenant or of one, of a batch, in one of ``statuses``, and submitted
        at ``since_ms`` (milliseconds since the epoch) or later, and before ``until_ms``. From the projection where one
        answers, else from the newest ``max_events`` events.

        Raises InvalidRequest for a ``limit`` below 1 or an unknown status, BrokerUnreachable, TopicMissing.
        """
        if limit is not None and limit < 1:
            raise InvalidRequest(f"limit must be at least 1, not {limit}")
        for status in statuses:
            if status not in STATUSES:
                raise InvalidRequest(f"{status!r} is not a status", f"one of {', '.join(STATUSES)}")
        answered = self._projection_calls.jobs(
            tenant=tenant, batch=batch, statuses=statuses, since_ms=since_ms, until_ms=until_ms, limit=limit
        )
        if answered is not None:
            return answered
        jobs = history.recent_jobs(self.connection, max_events, tenant)
        chosen = [
            job
            for job in jobs
            if (batch is None or (job.batch is not None and job.batch.id == batch))
            and (not statuses or job.status in statuses)
            and job.first_ms >= since_ms
            and (until_ms is None or job.first_ms < until_ms)
        ]
        return chosen[:limit]

    def audit(self, wanted: "AuditFilter", *, max_events: int = MAX_EVENTS_OF_AUDIT) -> "Audit":
        """The jobs of the audit, the oldest submission first: from the projection where one answers, else from the
        newest ``max_events`` events. Raises BrokerUnreachable, TopicMissing."""
        from shared.client.audit import CLOCK_SKEW_MS, Audit, audit, rows_of

        answered = self._projection_calls.started_jobs(tenant=wanted.tenant, since_ms=wanted.since_ms - CLOCK_SKEW_MS)
        if answered is None:
            return audit(self.connection, wanted, max_events)
        jobs, complete_since_ms = answered
        return Audit(rows_of(jobs, wanted), complete_since_ms <= wanted.since_ms, is_projected=True)

    def job(self, job: JobLike, *, max_events: int = MAX_EVENTS_OF_JOB) -> JobState:
        """The state of one job. Raises JobNotFound, BrokerUnreachable, StoreUnreachable, JobDocumentUnreadable."""
        key = key_of(job)
        answered = self._projection_calls.job(key)
        if answered is not None:
            return history.completed(self.connection, key, *answered)
        return history.job_state(self.connection, key, max_events)

    def job_states(
        self, jobs: Collection[JobKey], *, max_events: int = MAX_EVENTS_OF_JOB
    ) -> dict[JobKey, JobState | ClientError]:
        """As ``job``, of several jobs, with one scan for all where the projection does not answer; for a job without a
        state the error that ``job`` raises. Raises BrokerUnreachable, TopicMissing."""
        known: dict[JobKey, JobState | None] = {}
        for job in jobs:
            answered = self._projection_calls.job(job)
            if answered is None:
                return history.job_states(self.connection, jobs, max_events)
            (known[job],) = answered
        return history.completed_each(self.connection, known)

    def past_events(self, job: JobLike, *, max_events: int = MAX_EVENTS_OF_JOB) -> tuple[list[AnyEvent], Offsets]:
        """A job's events so far, the terminal event last, and where to ``follow`` it from.

        Raises BrokerUnreachable, TopicMissing.
        """
        return history.past_events(self.connection, key_of(job), max_events)

    def raise_if_purged(self, job: JobLike) -> None:
        """Raises JobPurged for a job that was purged, StoreUnreachable, JobDocumentUnreadable."""
        history.raise_if_purged(self.connection, key_of(job))

    def is_known(self, job: JobLike) -> bool:
        """Whether the object store or ``render.requests`` know a job that has no events yet.

        Raises BrokerUnreachable, StoreUnreachable, JobDocumentUnreadable.
        """
        return history.is_known(self.connection, key_of(job))

    def terminal_event(self, job: JobLike) -> TerminalEvent | None:
        """How a job ended, as the object store keeps it; None while it has not.

        Raises StoreUnreachable, JobDocumentUnreadable.
        """
        return history.terminal_event(self.connection, key_of(job))
