"""Shows a job's progress until it ends. Ctrl-C is the caller's to handle."""

from collections.abc import Callable, Iterator, Sequence

from shared.cli import console
from shared.cli.errors import CliError
from shared.cli.failures import arguments
from shared.cli.progress import display
from shared.client import Client, JobKey, JobState, Submission, WaitTimeout
from shared.client.event_log import Offsets
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Conflict, TerminalEvent


def watch(
    client: Client,
    job: JobKey | Submission,
    start: Offsets,
    *,
    past: Sequence[AnyEvent] = (),
    timeout_s: float | None = None,
    on_event: Callable[[AnyEvent], None] | None = None,
) -> TerminalEvent:
    """Follow the job and return its terminal event.

    ``past`` are its events from before ``start``. ``on_event`` gets every event instead of the progress display.
    Raises CliError after ``timeout_s``, ClientError as ``Client.follow``.
    """

    def events() -> Iterator[AnyEvent]:
        for event in past:
            yield event
            if event.type in TERMINAL_TYPES:
                return
        on_silence = None if past else _note_silence
        yield from client.follow(job, start, timeout_s=timeout_s, on_silence=on_silence, on_duplicate=_note_duplicate)

    state = JobState(job.job_id, job.tenant)
    try:
        if on_event is not None:
            for event in events():
                state.apply(event)
                on_event(event)
                _note_conflict(event)
        else:
            with display() as shown:
                for event in events():
                    state.apply(event)
                    shown.show(event, state)
                    _note_conflict(event)
    except WaitTimeout as e:
        key = JobKey(job.tenant, job.job_id)
        raise CliError(e.message, f"look again with `lipstage watch {arguments(key)}`") from None
    assert state.terminal_event is not None, "events() ends with a terminal event"
    return state.terminal_event


def _note_silence() -> None:
    console.note("no service has taken the job yet; it waits (`lipstage status` shows the services of a local stack)")


def _note_duplicate(request_id: str) -> None:
    console.note(f"the same request was sent before; this is its outcome (request {request_id})")


def _note_conflict(event: AnyEvent) -> None:
    if isinstance(event, Conflict):
        console.note(f"another request under this job id was refused: {event.message}")
