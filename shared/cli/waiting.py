"""Watch a job until it ends, with progress; Ctrl-C is the caller's to handle."""

from collections.abc import Callable

from shared.cli import console
from shared.cli.connection import Connection
from shared.cli.errors import BadUse
from shared.cli.events import Position
from shared.cli.follow import follow
from shared.cli.job_state import JobState
from shared.cli.progress import display
from shared.messages.events import AnyEvent, Conflict, Done, Failed, RejectedEvent

Terminal = Done | RejectedEvent | Failed


def wait(
    connection: Connection,
    job_id: str,
    start: Position,
    *,
    request_id: str | None = None,
    timeout_s: float | None = None,
    each: Callable[[AnyEvent], None] | None = None,
) -> Terminal:
    """Follow the job to its end and return the event that ends it.

    ``request_id`` is that of our own request: a conflict that names it means that ours was refused, which raises
    BadUse. ``each`` gets every event instead of the progress display. Raises StillRunning after ``timeout_s``.
    """
    job = JobState(job_id)
    if each is not None:
        for event in follow(connection, job_id, start, timeout_s, _nobody_yet):
            job.apply(event)
            each(event)
            _refused(event, job_id, request_id)
    else:
        with display() as shown:
            for event in follow(connection, job_id, start, timeout_s, _nobody_yet):
                job.apply(event)
                shown.show(event, job)
                _refused(event, job_id, request_id)
    assert job.end is not None, "follow() ends with an end"
    return job.end


def _nobody_yet() -> None:
    console.note("no service has taken the job yet; it waits (`lipstage status` shows the services of a local stack)")


def _refused(event: AnyEvent, job_id: str, request_id: str | None) -> None:
    if isinstance(event, Conflict):
        if event.request_id == request_id:
            raise BadUse(f"there is another job {job_id}: {event.message}", "choose another --job-id, or none")
        console.note(f"another request came under this job id and was refused: {event.message}")
