"""Watch a job until it ends, with progress; Ctrl-C is the caller's to handle."""

from collections.abc import Callable, Iterator, Sequence

from shared.cli import console
from shared.cli.connection import Connection
from shared.cli.events import Job, Offsets
from shared.cli.follow import follow
from shared.cli.job_state import JobState
from shared.cli.own_request import OwnRequest
from shared.cli.progress import display
from shared.cli.submit import Submitted
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Conflict, TerminalEvent


def wait(
    connection: Connection,
    job: Job,
    start: Offsets,
    *,
    past: Sequence[AnyEvent] = (),
    own: Submitted | None = None,
    timeout_s: float | None = None,
    each: Callable[[AnyEvent], None] | None = None,
) -> TerminalEvent:
    """Follow the job to its end and return the event that ends it.

    ``past`` is what is known of it from before ``start``. ``own`` is our own request: what is said of another under
    the same job id is passed over, and its refusal raises BadUse. ``each`` gets every event instead of the progress
    display. Raises StillRunning after ``timeout_s``.
    """

    def events() -> Iterator[AnyEvent]:
        for event in past:
            yield event
            if event.type in TERMINAL_TYPES:
                return
        ours = OwnRequest(connection, own) if own is not None else None
        silence = None if past else _nobody_yet
        yield from follow(connection, job, start, own=ours, timeout_s=timeout_s, on_silence=silence)

    state = JobState(job.job_id, job.tenant)
    if each is not None:
        for event in events():
            state.apply(event)
            each(event)
            _refused(event)
    else:
        with display() as shown:
            for event in events():
                state.apply(event)
                shown.show(event, state)
                _refused(event)
    assert state.end is not None, "events() ends with an end"
    return state.end


def _nobody_yet() -> None:
    console.note("no service has taken the job yet; it waits (`lipstage status` shows the services of a local stack)")


def _refused(event: AnyEvent) -> None:
    if isinstance(event, Conflict):
        console.note(f"another request came under this job id and was refused: {event.message}")
