"""``lipstage demo``: from nothing to a talking face, and back to nothing but the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import connection, console, order, outcome, tree
from shared.cli.errors import CliError, ExitCode
from shared.cli.events import Job, tail
from shared.cli.submit import submit
from shared.cli.waiting import wait
from shared.local.settings import CHECKOUT, LocalSettings
from shared.messages.events import Done
from shared.messages.pipeline import STAGES

if TYPE_CHECKING:
    from shared.local.stack_file import Stack

SAMPLES = CHECKOUT / "samples"
ENGINE = "puppet"
TRACE_PATIENCE_S = 8.0


def sample(name: str) -> Path:
    """A bundled sample by its stem. Raises CliError when the installation has none."""
    found = sorted(p for p in SAMPLES.glob(f"{name}.*") if p.suffix in (".png", ".jpg", ".wav", ".flac", ".ogg"))
    if not found:
        raise CliError(f"the sample {name} is not in {SAMPLES}", "run the demo from a checkout of the repository")
    return found[0]


@contextmanager
def borrowed_stack() -> Iterator[None]:
    """A running stack: the one that is there, else one that is started and stopped again. Raises CliError."""
    from shared.cli.stack import failed
    from shared.local import stack
    from shared.local.errors import StackError

    settings = LocalSettings()
    running = stack.running(settings)
    if running is not None:
        check_able(settings, running)
        connection.adopt(running)
        yield
        return
    console.note("starting the local stack")
    try:
        started = stack.up(settings, note=console.note)
    except StackError as e:
        raise failed(e) from None
    try:
        connection.adopt(started)
        console.note(f"broker {started.bootstrap_servers}, store {started.s3_endpoint_url}: ready")
        yield
    finally:
        console.note("stopping the local stack")
        stack.down(settings)


def check_able(settings: LocalSettings, running: "Stack") -> None:
    """Raise CliError when the running stack could not finish a job: a stage that nobody serves would be waited for."""
    from shared.local.status import status

    served = {record.stage for record in running.services if record.engine in (None, ENGINE)}
    if unserved := [stage for stage in STAGES if stage not in served]:
        scale = " ".join(f"--scale {stage}=1" for stage in unserved)
        raise CliError(f"the running stack has no replica of {', '.join(unserved)}", f"`lipstage up {scale}` starts it")
    others = {record.name for record in running.services if record.engine not in (None, ENGINE)}
    parts = [part for part in status(settings) if part.name not in others]
    if ill := [f"{part.name} ({part.detail})" for part in parts if not part.healthy]:
        raise CliError(f"the running stack is not healthy: {', '.join(ill)}", "`lipstage up` mends it or says why not")


def run(target: Path) -> ExitCode:
    """Render the bundled sample into ``target``; prints figures and the trace. Raises CliError."""
    portrait, speech = sample("portrait"), sample("speech")
    with borrowed_stack():
        to = connection.reached()
        limits = to.settings
        wanted = order.checked(
            portrait, speech, {}, max_portrait_mb=limits.max_portrait_mb, max_speech_mb=limits.max_speech_mb
        )
        start = tail(to)
        submitted = submit(to, wanted)
        console.note(f"job {wanted.job_id} submitted: {portrait.name} + {speech.name}")
        end = wait(to, submitted.job, start, own=submitted)
        if isinstance(end, Done):
            outcome.download(to, end.video, target)
            outcome.report(end, target)
        else:
            outcome.report(end)
        to.tracing.shutdown()
        print_trace(submitted.job)
        return outcome.exit_code(end)


def print_trace(job: Job) -> None:
    """The job's trace as a tree; the video is there, so a trace that can't be shown is only noted."""
    console.say()
    try:
        found = tree.fetch_whole(job, TRACE_PATIENCE_S)
    except CliError as e:
        console.note(f"no trace: {e.message}")
        return
    for trace_id, spans in found.items():
        console.say(f"trace {trace_id}, {len(spans)} spans")
        for line in tree.lines(spans):
            console.say(*line)
