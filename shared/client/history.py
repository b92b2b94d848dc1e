"""Past jobs, from the newest events and from the object store's documents; every read is bounded."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from shared.client import event_log, request_log
from shared.client.connection import Connection
from shared.client.errors import ClientError, JobDocumentUnreadable, JobNotFound, JobPurged, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.job_state import JobState, is_superseded
from shared.client.request_log import SentRequest
from shared.client.topic_log import Offsets
from shared.messages.events import TERMINAL_TYPES, AnyEvent, RejectedEvent, TerminalEvent
from shared.storage import markers
from shared.storage.errors import StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord

MAX_NEWEST_REQUESTS = 5_000
"""How many of the newest requests are read for jobs that no service has taken."""
MAX_QUEUED_LOOKUPS = 200
"""Requests without events that are looked up in the object store, when older events were not read."""


def states(events: Iterable[AnyEvent]) -> list[JobState]:
    """The jobs of these events, newest first."""
    jobs: dict[JobKey, JobState] = {}
    for event in events:
        key = JobKey(event.tenant, event.job_id)
        # In place: `job_fold.apply` gives the same state as a new one.
        jobs.setdefault(key, JobState(key.job_id, key.tenant)).apply(event)
    # A job that is known from refused requests alone has no time: it comes last.
    return sorted(jobs.values(), key=_newest_first, reverse=True)


def recent_jobs(connection: Connection, max_events: int, tenant: str | None = None) -> list[JobState]:
    """Jobs of the newest events and requests, newest first; of every tenant, or of one.

    Raises BrokerUnreachable, TopicMissing.
    """
    found: list[AnyEvent] = []
    windows, is_complete = event_log.windows(connection, max_events, tenant)
    cut = not is_complete
    for source, window in windows:
        events = event_log.scan(connection, window.offsets, tenant=source)
        found += [event for event in events if tenant in (None, event.tenant)]
        cut = cut or window.cut
    jobs = states(found)
    known = {JobKey(job.tenant, job.job_id) for job in jobs}
    requests = request_log.newest(connection, MAX_NEWEST_REQUESTS, tenant)
    untaken = {r.key: r for r in requests if r.key not in known and tenant in (None, r.key.tenant)}
    newest = sorted(untaken.values(), key=lambda request: request.time_ms, reverse=True)
    if cut:  # The events of these jobs may be older than what was read.
        newest = list(_not_taken(connection, newest[:MAX_QUEUED_LOOKUPS]))
    return sorted([*jobs, *(queued(request) for request in newest)], key=_newest_first, reverse=True)


def queued(sent: SentRequest) -> JobState:
    """The state of a job of which nothing is known but its request."""
    return JobState(
        sent.key.job_id,
        sent.key.tenant,
        first_ms=sent.time_ms,
        last_ms=sent.time_ms,
        batch=sent.batch,
        labels=sent.labels,
    )


def _not_taken(connection: Connection, requests: Iterable[SentRequest]) -> Iterator[SentRequest]:
    """The requests whose jobs no service has taken, up to the first for which the object store does not answer."""
    for request in requests:
        try:
            if stored_request(connection.fail_fast, request.key) is None:
                yield request
        except StoreUnreachable:
            return
        except JobDocumentUnreadable:
            continue


def _newest_first(job: JobState) -> tuple[int, str, str]:
    return job.first_ms, job.job_id, job.tenant


def past_events(
    connection: Connection, job: JobKey, max_events: int, request_id: str | None = None
) -> tuple[list[AnyEvent], Offsets]:
    """The job's events among the newest, by time with the terminal event last, and the offsets to continue from.

    A failure that a replay has superseded is left out: it does not end the job. With ``request_id`` the refusal of that
    request is one of the events, too.

    Raises BrokerUnreachable, TopicMissing.
    """
    offsets = event_log.newest(connection, max_events, job.tenant)
    ids = (job.job_id,) if request_id is None else (job.job_id, request_id)
    read = event_log.scan(connection, offsets, *ids, tenant=job.tenant)
    events = [e for e in read if (e.tenant, e.job_id) == job or is_refusal(e, request_id)]
    replays = newest_replay(events)
    events = [event for event in events if not is_superseded(event, replays)]
    # The events of one job lie on two partitions when the topic has grown between them.
    return sorted(events, key=lambda e: (e.type in TERMINAL_TYPES, e.time_ms)), offsets


def is_refusal(event: AnyEvent, request_id: str | None) -> bool:
    """Whether the event refuses this request because its sender may not speak for the tenant: the job of such an event
    is the request itself."""
    return isinstance(event, RejectedEvent) and event.job_id == event.request_id == request_id


def newest_replay(events: Iterable[AnyEvent]) -> int:
    """How often the job of these events was replayed; 0 without events."""
    return max((event.replays for event in events), default=0)


def job_state(connection: Connection, job: JobKey, max_events: int) -> JobState:
    """A job from the newest events, completed by what the object store keeps; without both, from its request.

    Raises JobNotFound, JobDocumentUnreadable, BrokerUnreachable, TopicMissing, StoreUnreachable.
    """
    offsets = event_log.newest(connection, max_events, job.tenant)
    same_id = states(event_log.scan(connection, offsets, job.job_id, tenant=job.tenant))
    return completed(connection, job, next((one for one in same_id if one.tenant == job.tenant), None))


def job_states(
    connection: Connection, jobs: Collection[JobKey], max_events: int
) -> dict[JobKey, JobState | ClientError]:
    """As ``job_state``, of several jobs by one scan; for a job without a state the error that ``job_state`` raises.

    Raises BrokerUnreachable, TopicMissing.
    """
    found: dict[JobKey, JobState] = {}
    by_topic = defaultdict[str, list[JobKey]](list)
    for job in jobs:
        by_topic[event_log.topic(connection, job.tenant)].append(job)
    for together in by_topic.values():
        tenant = together[0].tenant
        offsets = event_log.newest(connection, max_events, tenant)
        events = event_log.scan(connection, offsets, *(job.job_id for job in together), tenant=tenant)
        found |= {JobKey(state.tenant, state.job_id): state for state in states(events)}
    return completed_each(connection, {job: found.get(job) for job in jobs})


def completed_each(
    connection: Connection, known: Mapping[JobKey, JobState | None]
) -> dict[JobKey, JobState | ClientError]:
    """As ``completed``, of several jobs; requests are searched for by one scan. Raises BrokerUnreachable."""
    answers: dict[JobKey, JobState | ClientError] = {}
    unknown = defaultdict[str, list[JobKey]](list)
    for job, known_state in known.items():
        try:
            state = _stored(connection, job, known_state)
        except ClientError as e:
            answers[job] = e
            continue
        if state is not None:
            answers[job] = state
        else:
            unknown[event_log.topic(connection, job.tenant)].append(job)
    for together in unknown.values():
        sent = request_log.find_each(connection, together, together[0].tenant)
        answers |= {job: queued(sent[job]) if job in sent else not_found(job) for job in together}
    return answers


def completed(connection: Connection, job: JobKey, state: JobState | None) -> JobState:
    """The state that a job's events give, completed by what the object store keeps; without both, from its request.

    Raises as ``job_state``.
    """
    state = _stored(connection, job, state)
    if state is None and (sent := request_log.find(connection, job)) is not None:
        state = queued(sent)
    if state is None:
        raise not_found(job)
    return state


def _stored(connection: Connection, job: JobKey, state: JobState | None) -> JobState | None:
    """The state, completed by what the object store keeps; None for a job that it does not know either."""
    if state is None or state.terminal_event is None:
        stored = terminal_event(connection, job)
        if stored is not None:
            state = state or JobState(job.job_id, job.tenant)
            state.apply(stored)
    record = stored_request(connection, job)
    if record is not None and record.purged_ms is not None:
        state = state or JobState(job.job_id, job.tenant)
        state.purged(record.purged_ms)
    if state is None and record is not None:
        state = JobState(job.job_id, job.tenant)
    return state


def not_found(job: JobKey) -> JobNotFound:
    """The error for a job that nothing is known of; whether another tenant has one of this id is not said."""
    return JobNotFound(f"no job {job.job_id} of the tenant {job.tenant} is known")


def is_known(connection: Connection, job: JobKey) -> bool:
    """Whether the object store or ``render.requests`` know the job; the events are not read.

    Raises StoreUnreachable, JobDocumentUnreadable, BrokerUnreachable.
    """
    return stored_request(connection, job) is not None or request_log.find(connection, job) is not None


def raise_if_purged(connection: Connection, job: JobKey) -> None:
    """Raises JobPurged, StoreUnreachable, JobDocumentUnreadable."""
    record = stored_request(connection, job)
    if record is not None and record.purged_ms is not None:
        raise purged(job, record.purged_ms)


def purged(job: JobKey, time_ms: int) -> JobPurged:
    """The error for a job that was purged at this time."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return JobPurged(f"job {job.job_id} was purged at {time}: its objects are deleted")


def terminal_event(connection: Connection, job: JobKey) -> TerminalEvent | None:
    """The terminal event as the object store keeps it; None while there is none.

    Raises StoreUnreachable, JobDocumentUnreadable.
    """
    with _reading("terminal event", job):
        return markers.read_end(connection.documents, job.tenant, job.job_id)


def stored_request(connection: Connection, job: JobKey) -> RequestRecord | None:
    """The request that first claimed the job id; None while there is none.

    Raises StoreUnreachable, JobDocumentUnreadable.
    """
    with _reading("request", job):
        return markers.read_request(connection.documents, job.tenant, job.job_id)


@contextmanager
def _reading(document: str, job: JobKey) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except StorageError as e:
        raise JobDocumentUnreadable(f"the stored {document} of job {job.job_id} can't be read: {e}") from None
