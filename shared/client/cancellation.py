"""Cancels a job that is known and has not ended.

The client ends the job itself: it stores the terminal event, unless another one is stored first, and publishes it. A
job that waits in a queue has then ended at once; a stage that works on it reads the cancel command and stops, and one
that takes its record later finds the stored end.
"""

import time
from contextlib import suppress

from shared.client import history, request_log
from shared.client.connection import Connection
from shared.client.errors import (
    BrokerUnreachable,
    ClientError,
    JobDocumentUnreadable,
    JobEnded,
    RecordRefused,
    StoreUnreachable,
)
from shared.client.job_key import JobKey
from shared.client.job_state import JobState
from shared.client.submission import CONTENT_TYPE, send
from shared.messages.cancel import CancelCommand
from shared.messages.codes import Code
from shared.messages.events import AnyEvent, Failed, Replayed, TerminalEvent
from shared.messages.headers import event_headers
from shared.messages.pipeline import FIRST
from shared.messages.scan_limits import MAX_EVENTS_OF_JOB
from shared.messages.topics import CANCEL, EVENTS
from shared.storage import markers
from shared.storage.errors import StorageError
from shared.storage.markers import RequestRecord

CANCELLED = "The job was cancelled."


def cancel(connection: Connection, job: JobKey, *, max_events: int, force: bool = False) -> Failed | None:
    """Send a cancel command to every service, and end the job.

    Returns the terminal event; None when only the command was sent, because the object store does not answer, or
    nothing but events is known of the job: a service ends it then. The job is looked up first: in the object store, in
    the newest ``max_events`` events and in ``render.requests``; without the object store, in the last two. ``force``
    sends the command whatever is found. Raises JobNotFound, also for a job of another tenant; JobEnded, also when the
    job ended otherwise while the command was sent; JobPurged; BrokerUnreachable, RecordRefused.
    """
    if force:
        send_command(connection, job)
        with suppress(ClientError):
            return end_as_cancelled(connection, history.job_state(connection, job, max_events))
        return None
    try:
        state = _unfinished(connection, job, max_events)
    except (StoreUnreachable, JobDocumentUnreadable):
        _raise_if_ended_by_events(connection, job, max_events)
        send_command(connection, job)
        return None
    send_command(connection, job)
    return end_as_cancelled(connection, state)


def _unfinished(connection: Connection, job: JobKey, max_events: int) -> JobState:
    """The state of a job that is known and goes on. Raises as ``cancel``."""
    state = history.job_state(connection, job, max_events)
    if state.purged_ms is not None:
        raise history.purged(job, state.purged_ms)
    if state.terminal_event is not None:
        raise _ended(state.terminal_event)
    return state


def _raise_if_ended_by_events(connection: Connection, job: JobKey, max_events: int) -> None:
    """Without the object store. Raises JobNotFound, JobEnded, BrokerUnreachable."""
    events, _ = history.past_events(connection, job, max_events)
    for state in history.states(events):
        if state.terminal_event is not None:
            raise _ended(state.terminal_event)
    if not events and request_log.find(connection, job) is None:
        raise history.not_found(job)


def raise_if_end_is_stored(connection: Connection, job: JobKey) -> RequestRecord | None:
    """The stored request of a job that has no terminal event in the object store; None when there is none.

    Raises JobEnded, JobPurged, StoreUnreachable, JobDocumentUnreadable.
    """
    record = history.stored_request(connection, job)
    if record is not None and record.purged_ms is not None:
        raise history.purged(job, record.purged_ms)
    terminal = history.terminal_event(connection, job)
    if terminal is not None:
        raise _ended(terminal)
    return record


def _ended(terminal: TerminalEvent) -> JobEnded:
    cancelled = terminal.type == "failed" and terminal.code == "CANCELLED"
    how = "it was cancelled" if cancelled else terminal.type
    return JobEnded(f"job {terminal.job_id} has ended already: {how}")


def end_as_cancelled(connection: Connection, state: JobState, sent: RequestRecord | None = None) -> Failed | None:
    """Store the terminal event of a job that has not ended, and publish it.

    ``sent``: its request, as it lies in ``render.requests``, for a job that no service has taken; looked up when it is
    None. Returns the stored event; None when no request of the job is known, or the object store does not take the
    event: then the cancel command ends the job. Raises JobEnded when another end was stored first.
    """
    job = JobKey(state.tenant, state.job_id)
    try:
        record = _claimed(connection, job, sent)
        if record is None:
            return None
        event = Failed(
            job_id=job.job_id,
            tenant=job.tenant,
            request_id=record.request_id,
            time_ms=int(time.time() * 1000),
            attempt=1,
            trace_id=state.trace_id,
            sampled=state.sampled,
            batch=state.batch,
            labels=state.labels,
            submitted_ms=state.submitted_ms,
            department=state.department,
            owner_hash=state.owner_hash,
            consent=state.consent,
            replays=_current_replay(connection, job),
            stage=state.current_stage or FIRST,
            code=Code.CANCELLED,
            message=CANCELLED,
        )
        claim = markers.claim_end(connection.documents, job.tenant, job.job_id, event, of_any_replay=True)
    except (StorageError, StoreUnreachable, JobDocumentUnreadable):
        return None
    end = claim.winner
    if not isinstance(end, Failed) or end.code is not Code.CANCELLED:
        raise _ended(end)
    publish_event(connection, end)
    return end


def _claimed(connection: Connection, job: JobKey, sent: RequestRecord | None) -> RequestRecord | None:
    """The request that has the job id; one that no service has taken claims it now, so that a service that takes it
    later finds the job ended. None when no request is known."""
    record = history.stored_request(connection, job)
    if record is not None:
        return record
    if sent is None:
        found = request_log.find(connection, job)
        sent = found.record if found is not None else None
    return None if sent is None else markers.claim_request(connection.documents, job.tenant, job.job_id, sent).winner


def _current_replay(connection: Connection, job: JobKey) -> int:
    """Number of a replay that no service has taken yet; 0 for any other job: see ``of_any_replay``."""
    end = history.terminal_event(connection, job)
    if end is None or not markers.is_replayable(end):
        return 0
    events, _ = history.past_events(connection, job, MAX_EVENTS_OF_JOB)
    return max((event.replays for event in events if isinstance(event, Replayed)), default=0)


def send_command(connection: Connection, job: JobKey) -> None:
    """Send the cancel command, whatever is known of the job. Raises BrokerUnreachable, RecordRefused."""
    command, time_ms = CancelCommand(job.tenant, job.job_id), int(time.time() * 1000)
    key, value = command.key(), command.encode(time_ms)
    signature = connection.signature("cancel", job.tenant, key, value)
    send(connection, connection.topic_of(CANCEL, job.tenant), key.decode(), value, (CONTENT_TYPE, *signature))


def publish_event(connection: Connection, event: AnyEvent) -> bool:
    """Publish an event; False where the broker does not take it: readers then find the stored end."""
    value = event.model_dump_json(exclude_none=True).encode()
    try:
        send(connection, connection.topic_of(EVENTS, event.tenant), event.job_id, value, event_headers(event))
    except (RecordRefused, BrokerUnreachable):
        return False
    return True
