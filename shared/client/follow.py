"""One job's events as they arrive, until its terminal event."""

import time
from collections.abc import Callable, Iterator

from shared.client import history
from shared.client.connection import Connection
from shared.client.errors import ClientError, InvalidDeployment, JobConflict, WaitTimeout
from shared.client.event_log import event_of
from shared.client.event_reader import EventReader
from shared.client.job_key import JobKey
from shared.client.job_state import is_superseded
from shared.client.own_request import OwnRequest
from shared.client.topic_log import POLL_S, Offsets
from shared.messages.events import TERMINAL_TYPES, AnyEvent

SILENCE_S = 15.0
STORE_CHECK_S = 3.0
"""After this long without an event, and as often from then on, the object store is asked for the terminal event."""


def follow(
    connection: Connection,
    job: JobKey,
    start: Offsets,
    *,
    own: OwnRequest | None = None,
    replays: int = 0,
    timeout_s: float | None = None,
    on_silence: Callable[[], None] | None = None,
) -> Iterator[AnyEvent]:
    """Yield the job's events from ``start`` on; the last one is done, rejected or failed.

    ``own`` keeps what concerns the caller's request. ``replays``: how often the job was replayed before ``start``; a
    failure before the newest replay is left out. ``on_silence`` is called once when the first event takes longer
    than ``SILENCE_S``: perhaps no service runs. A broker or an object store that goes away and comes back is waited
    for. A terminal event that does not arrive is read from the object store. Raises WaitTimeout after ``timeout_s``
    seconds, JobConflict as ``OwnRequest`` does.
    """
    reader = EventReader(connection, start, job.tenant)
    started = checked = time.monotonic()
    silent = on_silence is not None
    try:
        while True:
            message = reader.poll(POLL_S)
            event = event_of(job, message.key(), message.value()) if message is not None else None
            if event is None and message is not None and own is not None:
                event = own.refusal(message.key(), message.value())
            now = time.monotonic()
            if event is None and now - checked > STORE_CHECK_S:
                event = _stored_terminal_event(connection, job, own)
                checked = time.monotonic()
            if event is not None:
                replays = max(replays, event.replays)
                event = None if is_superseded(event, replays) else event
            if event is not None and (own is None or own.concerns(event)):
                checked, silent = now, False
                yield event
                if event.type in TERMINAL_TYPES:
                    return
            if silent and on_silence is not None and now - started > SILENCE_S:
                silent = False
                on_silence()
            if timeout_s is not None and now - started > timeout_s:
                raise WaitTimeout(f"job {job.job_id} has not ended after {timeout_s:g} s; it continues")
    finally:
        reader.close()


def _stored_terminal_event(connection: Connection, job: JobKey, own: OwnRequest | None) -> AnyEvent | None:
    """The terminal event that the object store keeps.

    Raises JobConflict: the conflict event may have been missed. Raises InvalidDeployment.
    """
    try:
        if own is not None:
            own.is_duplicate()
        return history.terminal_event(connection.fail_fast, job)
    except (JobConflict, InvalidDeployment):
        raise
    except ClientError:  # The store is away, or refuses to read it: the event itself is still to come.
        return None
