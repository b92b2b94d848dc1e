"""One job's events as they come, until the one that ends it."""

import time
from collections.abc import Callable, Iterator

from shared.cli import history
from shared.cli.connection import Connection
from shared.cli.errors import BadUse, CliError
from shared.cli.event_reader import EventReader
from shared.cli.events import POLL_S, Job, Offsets
from shared.cli.own_request import OwnRequest
from shared.messages.events import TERMINAL_TYPES, AnyEvent

SILENCE_S = 15.0
ASK_S = 3.0
"""When nothing was heard of the job for so long, and as often after that, the store is asked whether it has ended."""


class StillRunning(CliError):
    """The time the user allowed is over; the job goes on."""


def follow(
    connection: Connection,
    job: Job,
    start: Offsets,
    *,
    own: OwnRequest | None = None,
    timeout_s: float | None = None,
    on_silence: Callable[[], None] | None = None,
) -> Iterator[AnyEvent]:
    """Yield the job's events from ``start`` on; the last is done, rejected or failed.

    ``own`` leaves what concerns our own request. ``on_silence`` is called once when the first event takes longer than
    ``SILENCE_S``: perhaps no service runs. A broker or a store that goes away and comes back is waited for. An end
    whose event is not heard is the one that the store keeps. Raises StillRunning after ``timeout_s`` seconds, BadUse as
    ``OwnRequest`` does.
    """
    reader = EventReader(connection, start)
    begun = asked = time.monotonic()
    silent = on_silence is not None
    try:
        while True:
            message = reader.poll(POLL_S)
            event = job.event(message.key(), message.value()) if message is not None else None
            now = time.monotonic()
            if event is None and now - asked > ASK_S:
                event = _end(connection, job, own)
                asked = time.monotonic()
            if event is not None and (own is None or own.concerns(event)):
                asked, silent = now, False
                yield event
                if event.type in TERMINAL_TYPES:
                    return
            if silent and on_silence is not None and now - begun > SILENCE_S:
                silent = False
                on_silence()
            if timeout_s is not None and now - begun > timeout_s:
                raise StillRunning(
                    f"job {job.job_id} is not finished after {timeout_s:g} s; it goes on",
                    f"look again with `lipstage watch {job.arguments}`",
                )
    finally:
        reader.close()


def _end(connection: Connection, job: Job, own: OwnRequest | None) -> AnyEvent | None:
    """The end that the store keeps. A claim by another request is found out here, too: its conflict may go unheard."""
    try:
        if own is not None:
            own.came_before()
        return history.stored_end(connection.brief, job)
    except BadUse:
        raise
    except CliError:  # Away, or not for us to read: its event tells the end.
        return None
