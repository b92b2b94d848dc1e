"""``lipstage demo``: from nothing to a talking face, and back to nothing but the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.cli import connection, console, order, outcome, tree
from shared.cli.errors import CliError, ExitCode, Unreachable
from shared.cli.events import tail
from shared.cli.submit import submit
from shared.cli.waiting import wait
from shared.messages.events import Done

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TRACE_PATIENCE_S = 8.0


def sample(name: str) -> Path:
    """A bundled sample by its stem. Raises CliError when the installation has none."""
    found = sorted(p for p in SAMPLES.glob(f"{name}.*") if p.suffix in (".png", ".jpg", ".wav", ".flac", ".ogg"))
    if not found:
        raise CliError(f"the sample {name} is not in {SAMPLES}", "run the demo from a checkout of the repository")
    return found[0]


@contextmanager
def borrowed_stack() -> Iterator[None]:
    """A running stack: the one that is there, else one that is started and stopped again."""
    from shared.local import stack
    from shared.local.errors import StackError
    from shared.local.settings import LocalSettings

    settings = LocalSettings()
    running = stack.running(settings)
    if running is not None:
        connection.adopt(running)
        yield
        return
    console.note("starting the local stack (the first start fetches the broker's files)")
    try:
        started = stack.up(settings)
    except StackError as e:
        raise Unreachable(e.message, "`lipstage doctor` shows what is missing") from None
    try:
        connection.adopt(started)
        console.note(f"broker {started.bootstrap_servers}, store {started.s3_endpoint_url}: ready")
        yield
    finally:
        console.note("stopping the local stack")
        stack.down(settings)


def run(target: Path) -> ExitCode:
    """Render the bundled sample into ``target``; prints figures and the trace. Raises CliError."""
    portrait, speech = sample("portrait"), sample("speech")
    with borrowed_stack():
        to = connection.reached()
        limits = to.settings
        wanted = order.checked(
            portrait, speech, {}, max_portrait_mb=limits.max_portrait_mb, max_speech_mb=limits.max_speech_mb
        )
        start = tail(to, wanted.job_id)
        submitted = submit(to, wanted)
        console.note(f"job {wanted.job_id} submitted: {portrait.name} + {speech.name}")
        end = wait(to, wanted.job_id, start, request_id=submitted.request_id)
        if isinstance(end, Done):
            outcome.download(to, end.video, target)
            outcome.report(end, target)
        else:
            outcome.report(end)
        to.tracing.shutdown()
        print_trace(wanted.job_id)
        return outcome.exit_code(end)


def print_trace(job_id: str) -> None:
    """The job's trace as a tree; the video is there, so a trace that can't be shown is only noted."""
    console.say()
    try:
        found = tree.fetch_whole(job_id, TRACE_PATIENCE_S)
    except CliError as e:
        console.note(f"no trace: {e.message}")
        return
    for trace_id, spans in found.items():
        console.say(f"trace {trace_id}, {len(spans)} spans")
        for line in tree.lines(spans):
            console.say(line)
