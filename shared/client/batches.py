"""The jobs of a batch: their states, as they are now and as they change."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.client import event_log, history, request_log, topic_log
from shared.client.connection import Connection
from shared.client.errors import JobNotFound, WaitTimeout
from shared.client.event_reader import EventReader
from shared.client.job_key import JobKey
from shared.client.job_state import ENDED, REFUSED, STATUSES, JobState
from shared.client.row_requests import RowRequests
from shared.client.topic_log import POLL_S, Offsets
from shared.messages.events import AnyEvent, Conflict

MAX_LOOKUPS = 200
"""Jobs whose terminal event is looked up in the object store at a time, because their events were not read."""
STORE_CHECK_S = 10.0
"""After this long without an event of the batch, and as often from then on, the object store is asked."""


@dataclass(slots=True)
class BatchState:
    """The jobs of one batch that are known, and where their events continue."""

    batch_id: str
    tenant: str
    jobs: dict[JobKey, JobState] = field(default_factory=dict)
    total: int = 0
    """Number of jobs of the manifest."""
    cut: bool = False
    """Whether older requests or events were left unread: jobs may be missing."""
    offsets: Offsets = field(default_factory=dict)
    requests: dict[JobKey, RowRequests] = field(default_factory=dict)

    def apply(self, event: AnyEvent) -> bool:
        """Update the state by one event; whether the event belongs to the batch."""
        if event.batch is None or (event.tenant, event.batch.id) != (self.tenant, self.batch_id):
            return False
        key = JobKey(event.tenant, event.job_id)
        job, requests = self.state_of(key), self.requests_of(key)
        (requests.refused if isinstance(event, Conflict) else requests.started).add(event.request_id)
        if requests.are_refused:
            job.status, job.batch = REFUSED, job.batch or event.batch
        elif job.status == REFUSED:  # The events of a job may come in any order.
            job.status = "queued"
        job.apply(event)
        self.total = max(self.total, event.batch.total)
        return True

    def state_of(self, key: JobKey) -> JobState:
        """The state of a job, which is added when it is not known yet."""
        return self.jobs.setdefault(key, JobState(key.job_id, key.tenant))

    def requests_of(self, key: JobKey) -> RowRequests:
        """What is known of the batch's requests under a job id."""
        return self.requests.setdefault(key, RowRequests(key))

    def ordered(self) -> list[JobState]:
        """The jobs in the order of the manifest."""
        return sorted(self.jobs.values(), key=lambda job: (job.batch.index if job.batch else 0, job.job_id))

    @property
    def counts(self) -> dict[str, int]:
        """Number of known jobs by status, in the order of a job's life; statuses that no job has are left out."""
        counted = Counter(job.status for job in self.jobs.values())
        return {status: counted[status] for status in (*STATUSES, REFUSED) if counted[status]}

    @property
    def ended(self) -> int:
        """Number of jobs that have ended, refused rows included."""
        return sum(number for status, number in self.counts.items() if status in ENDED)

    @property
    def missing(self) -> int:
        """Number of jobs of the manifest that are not known: not submitted, or older than what was read."""
        return max(0, self.total - len(self.jobs))

    @property
    def has_ended(self) -> bool:
        """Whether every known job has ended."""
        return self.ended == len(self.jobs)

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names."""
        return {
            "batch": self.batch_id,
            "tenant": self.tenant,
            "total": self.total,
            "known": len(self.jobs),
            "ended": self.ended,
            "counts": self.counts,
            "cut": self.cut,
        }


def read(connection: Connection, batch_id: str, tenant: str, max_events: int) -> BatchState:
    """The batch as its requests and the newest ``max_events`` events describe it.

    Raises JobNotFound when no job of it is known, BrokerUnreachable, TopicMissing, StoreUnreachable,
    JobDocumentUnreadable.
    """
    requests, requests_cut = request_log.of_batch(connection, batch_id, tenant)
    window = event_log.window(connection, max_events, tenant)
    state = BatchState(batch_id, tenant, cut=window.cut, offsets=window.offsets)
    for request in sorted(requests, key=lambda sent: sent.time_ms):
        job = state.state_of(request.key)
        job.first_ms, job.last_ms, job.batch, job.labels = (
            request.time_ms,
            request.time_ms,
            request.batch,
            request.labels,
        )
        state.total = max(state.total, request.batch.total if request.batch else 0)
        state.requests_of(request.key).sent.append(request)
    for event in event_log.scan_batch(connection, state.offsets, batch_id, tenant):
        state.apply(event)
    if not state.jobs:
        cut = "; older requests and events were not read" if requests_cut or window.cut else ""
        raise JobNotFound(f"no job of the batch {batch_id} of the tenant {tenant} is known{cut}")
    state.cut = state.cut or (requests_cut and state.missing > 0)
    if window.cut:
        _complete(connection, state)
    return state


def follow(
    connection: Connection, state: BatchState, *, timeout_s: float | None = None
) -> Iterator[tuple[AnyEvent | None, BatchState]]:
    """Yield the batch's events as they arrive, each with the state that includes it, until every known job has ended.

    The event is None when a job's end was read from the object store. Jobs that are submitted meanwhile are
    followed, too. Raises WaitTimeout after ``timeout_s`` seconds, StoreUnreachable, JobDocumentUnreadable.
    """
    reader = EventReader(connection, state.offsets, state.tenant)
    started = checked = time.monotonic()
    try:
        while not state.has_ended:
            message = reader.poll(POLL_S)
            event = (
                event_log.batch_event_of(state.batch_id, topic_log.value_of(message)) if message is not None else None
            )
            now = time.monotonic()
            if event is not None and state.apply(event):
                checked = now
                yield event, state
            elif now - checked > STORE_CHECK_S:
                checked = now
                if _complete(connection, state):
                    yield None, state
            if timeout_s is not None and now - started > timeout_s and not state.has_ended:
                raise WaitTimeout(f"the batch {state.batch_id} has not ended after {timeout_s:g} s; it continues")
    finally:
        reader.close()


def _complete(connection: Connection, state: BatchState) -> bool:
    """Look up the ends of jobs whose terminal event was not read, oldest first; whether one was found."""
    found = False
    waiting = sorted((job for job in state.jobs.values() if not job.has_ended), key=lambda job: job.first_ms)
    for job in waiting[:MAX_LOOKUPS]:
        key = JobKey(job.tenant, job.job_id)
        terminal = history.terminal_event(connection, key)
        if terminal is None:
            continue
        found = True
        record = history.stored_request(connection, key)
        if not state.requests_of(key).own(record):
            job.status = REFUSED
            continue
        job.apply(terminal)
        if record is not None and record.purged_ms is not None:
            job.purged(record.purged_ms)
    return found
