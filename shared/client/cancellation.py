"""Cancels a job that is known and has not ended."""

import time

from shared.client import history
from shared.client.connection import Connection
from shared.client.errors import JobEnded
from shared.client.job_key import JobKey
from shared.client.submission import send
from shared.messages.cancel import CancelCommand
from shared.messages.events import TerminalEvent
from shared.messages.topics import CANCEL
from shared.storage.markers import RequestRecord


def cancel(connection: Connection, job: JobKey, *, max_events: int, force: bool = False) -> None:
    """Send a cancel command to every service.

    The job is looked up first: in the object store, then in the newest ``max_events`` events and in
    ``render.requests``. ``force`` sends the command without that. Raises JobNotFound, also for a job of another tenant;
    JobEnded, JobPurged; BrokerUnreachable, StoreUnreachable, JobDocumentUnreadable, RecordRefused.
    """
    if not force:
        raise_if_ended(connection, job, max_events)
    send_command(connection, job)


def raise_if_ended(connection: Connection, job: JobKey, max_events: int) -> None:
    """Return when the job is known and goes on. Raises as ``cancel``."""
    if raise_if_end_is_stored(connection, job) is None:
        state = history.job_state(connection, job, max_events)
        if state.purged_ms is not None:
            raise history.purged(job, state.purged_ms)
        if state.terminal_event is not None:
            raise _ended(state.terminal_event)


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


def send_command(connection: Connection, job: JobKey) -> None:
    """Send the cancel command, whatever is known of the job. Raises BrokerUnreachable, RecordRefused."""
    command, time_ms = CancelCommand(job.tenant, job.job_id), int(time.time() * 1000)
    send(connection, connection.topic(CANCEL), command.key().decode(), command.encode(time_ms))
