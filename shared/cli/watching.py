"""Shows a job's progress until it ends. Ctrl-C is the caller's to handle."""

from collections.abc import Callable, Iterator, Sequence

from shared.cli import console
from shared.cli.errors import CliError
from shared.cli.failures import arguments
from shared.cli.progress import display
from shared.client import Client, JobKey, JobState, Submission, WaitTimeout
from shared.client.topic_log import Offsets
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Conflict, TerminalEvent
from shared.messages.pipeline import STAGES


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

    state = JobState(job.job_id, job.tenant)
    if isinstance(job, Submission) and job.is_repeat:
        console.note(f"the same request was submitted before: this is its outcome (request {job.request_id})")
    if not any(event.type in TERMINAL_TYPES for event in past):
        so_far = JobState(job.job_id, job.tenant)
        for event in past:
            so_far.apply(event)
        engine = job.engine if isinstance(job, Submission) else so_far.engine
        note_stages_without_consumers(client, engine or None, so_far)

    def events() -> Iterator[AnyEvent]:
        for event in past:
            yield event
            if event.type in TERMINAL_TYPES:
                return
        on_silence = None if past else _note_silence
        replays = max((event.replays for event in past), default=0)
        yield from client.follow(
            job, start, replays=replays, timeout_s=timeout_s, on_silence=on_silence, on_duplicate=_note_duplicate
        )

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


def note_stages_without_consumers(client: Client, engine: str | None, job: JobState) -> None:
    """Print which of the stages that the job still needs are consumed by no service: it will wait there."""
    missing = client.stages_without_consumers(engine or DEFAULT_ENGINE)
    needed = [stage for stage in missing if job.stages[stage].state != "finished"]
    if needed:
        note_missing(needed, client.settings.topic_prefix)


def note_missing(stages: Sequence[str], prefix: str) -> None:
    """Print that no service consumes these stages, and what helps; ``prefix`` is that of the topics."""
    if not stages:
        return
    console.note(f"no service consumes {', '.join(stages)}: jobs wait there until one is started")
    scale = "" if len(stages) == len(STAGES) else "".join(f" --scale {stage}=1" for stage in stages)
    console.note(f"  on the local stack: `lipstage up{scale}`")
    if prefix:
        console.note(f"  LIPSTAGE_TOPIC_PREFIX is {prefix}: the services must use the same")


def _note_silence() -> None:
    console.note("no service has taken the job yet; it waits (`lipstage status` shows the services of a local stack)")


def _note_duplicate(request_id: str) -> None:
    console.note(f"the same request was sent before; this is its outcome (request {request_id})")


def _note_conflict(event: AnyEvent) -> None:
    if isinstance(event, Conflict):
        console.note(f"another request under this job id was refused: {event.message}")
