"""``lipstage demo``: starts what is missing, renders the bundled sample, and stops what it started."""

from contextlib import ExitStack, suppress
from pathlib import Path

from shared.cli import console, environment, outcome, render, start_up, trace, watching
from shared.cli import stack as stack_command
from shared.cli.errors import CliError, ExitCode
from shared.cli.output_file import OutputFile
from shared.client import Client, ClientError, Deployment, JobKey
from shared.local import stack
from shared.local.deployment import running_deployment
from shared.local.errors import StackError
from shared.local.installation import samples
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.status import status
from shared.local.variables import read_settings
from shared.messages.events import Done
from shared.messages.pipeline import STAGES

OUTPUT = Path("out/demo.mp4")
ENGINE = "puppet"
TRACE_WAIT_S = 8.0


def demo(name: str | None, force: bool) -> ExitCode:
    """Render the bundled sample; print figures and the trace. Raises CliError, ClientError.

    ``name`` is the output, by default ``OUTPUT``: that one is the demo's own, so its folder is created and its former
    video replaced.
    """
    portrait, speech = sample("portrait"), sample("speech")
    output = OutputFile(
        name or str(OUTPUT),
        inputs={"portrait": portrait, "speech": speech},
        force=force or name is None,
        suffixes=(".mp4",),
        stdout_holds="the trace is printed there",
    )
    if name is None:
        with suppress(OSError):  # The check names what is wrong.
            OUTPUT.parent.mkdir(exist_ok=True)
    output.check()
    settings = read_settings()
    environment.warn_of_unknown_variables()
    running = stack.running(settings)
    if running is not None:
        check_services(settings, running)
        if running.gateway_url:
            console.note(f"the gateway answers at {running.gateway_url}")
    try:
        with ExitStack() as resources:
            with start_up.display() as note:
                deployment = resources.enter_context(running_deployment(settings, note, console.note))
            return _render(deployment, portrait, speech, output)
    except StackError as e:
        raise stack_command.failed(e) from None


def sample(name: str) -> Path:
    """A bundled sample by its stem. Raises CliError when the installation has none."""
    files = sorted(p for p in samples().glob(f"{name}.*") if p.suffix in (".png", ".jpg", ".wav", ".flac", ".ogg"))
    if not files:
        raise CliError(f"the sample {name} is not in {samples()}", "the installation is incomplete: install it again")
    return files[0]


def check_services(settings: LocalSettings, running: Stack) -> None:
    """Raise CliError when the running stack can't finish a job: a stage without a service would be waited for."""
    served = {record.stage for record in running.services if record.engine in (None, ENGINE)}
    if unserved := [stage for stage in STAGES if stage not in served]:
        scale = " ".join(f"--scale {stage}=1" for stage in unserved)
        raise CliError(f"the running stack has no replica of {', '.join(unserved)}", f"`lipstage up {scale}` starts it")
    others = {record.name for record in running.services if record.engine not in (None, ENGINE)}
    parts = [part for part in status(settings) if part.name not in others]
    if unhealthy := [f"{part.name} ({part.detail})" for part in parts if not part.healthy]:
        raise CliError(
            f"the running stack is not healthy: {', '.join(unhealthy)}", "`lipstage up` repairs it or prints the reason"
        )


def _render(deployment: Deployment, portrait: Path, speech: Path, output: OutputFile) -> ExitCode:
    with Client(deployment, service_name="cli") as client:
        client.check()
        spec = client.job_spec(portrait, speech)
        start = client.position(spec.key.tenant)
        submission = client.submit(spec)
        console.note(f"job {spec.job_id} submitted: {portrait.name} + {speech.name}")
        terminal = watching.watch(client, submission, start)
        if isinstance(terminal, Done):
            render.save(client, terminal, output)
        outcome.report(terminal, output)
    _show_trace(submission.key, deployment)
    return outcome.exit_code(terminal)


def _show_trace(job: JobKey, deployment: Deployment) -> None:
    """Print the job's trace as a tree. The video is there, so a trace that can't be shown is only noted."""
    console.say()
    try:
        trace.show(trace.fetch_complete(job, deployment, TRACE_WAIT_S))
    except (CliError, ClientError) as e:
        console.note(f"no trace: {e.message}")
