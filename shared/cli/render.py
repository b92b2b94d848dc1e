"""render and submit."""

from pathlib import Path

from shared.cli import assignments, console, outcome, watching
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import arguments
from shared.cli.output_file import OutputFile
from shared.client import (
    ArtifactUnavailable,
    Client,
    ClientError,
    JobConflict,
    JobKey,
    JobSpec,
    Submission,
    Unreachable,
)
from shared.client.request_fields import Fields
from shared.messages.events import Done


def spec(
    portrait: Path, speech: Path, texts: list[str], engine: str | None, job_id: str | None, tenant: str | None
) -> JobSpec:
    """The job that the options describe. Contacts nothing. Raises BadUse, InvalidRequest."""
    fields = _fields(texts, engine, tenant) | ({"job_id": job_id} if job_id else {})
    return Client().job_spec(portrait, speech, **fields)


def batch(path: Path, texts: list[str], engine: str | None, tenant: str | None) -> list[JobSpec]:
    """The jobs of a manifest; options are defaults for its lines. Contacts nothing. Raises BadUse, InvalidRequest."""
    return Client().batch(path, **_fields(texts, engine, tenant))


def _fields(texts: list[str], engine: str | None, tenant: str | None) -> Fields:
    fields = assignments.parse(texts, engine or "puppet")
    return fields | ({"engine": engine} if engine else {}) | ({"tenant": tenant} if tenant else {})


def submit(specs: list[JobSpec], as_json: bool) -> None:
    """Submit one job after the other; each id is printed as soon as the broker has it. Raises CliError, ClientError."""
    with connect() as client:
        submitted = 0
        try:
            for submission in client.submit_batch(specs):
                submitted += 1
                if as_json:
                    names = {"job_id": submission.job_id, "tenant": submission.tenant}
                    console.emit_json(names | {"trace_id": submission.trace_id})
                else:
                    console.say(submission.job_id)
        except Unreachable as e:
            if submitted:
                e.hint = f"{submitted} of {len(specs)} jobs were submitted; their ids are printed above"
            raise


def render(job: JobSpec, output: OutputFile, timeout_s: float | None, as_json: bool) -> ExitCode:
    """Submit, follow, fetch, report. Ctrl-C cancels the job. Raises CliError, ClientError."""
    output.check()
    with connect() as client:
        # Before the request is sent: all events of the job come after it.
        start = client.position()
        submission = client.submit(job)
        console.note(f"job {job.job_id} submitted")
        try:
            terminal = watching.watch(client, submission, start, timeout_s=timeout_s)
        except KeyboardInterrupt:
            return _cancel(client, submission)
        if isinstance(terminal, Done):
            save(client, terminal, output)
        if as_json:
            console.emit_json(outcome.as_json(terminal, output))
        else:
            outcome.report(terminal, output)
        return outcome.exit_code(terminal)


def save(client: Client, done: Done, output: OutputFile) -> None:
    """Download a finished video into the output. Raises CliError, ClientError, with how to get the video after all."""
    again = f"the video is kept: `lipstage fetch -o OTHER.mp4 {arguments(JobKey(done.tenant, done.job_id))}`"
    try:
        with output.writing() as temporary:
            client.download(done.video, temporary)
    except ArtifactUnavailable:
        raise
    except (CliError, ClientError) as e:
        code = ExitCode.UNREACHABLE if isinstance(e, Unreachable) else ExitCode.FAILED
        raise CliError(e.message, again, e.details, code) from None
    except KeyboardInterrupt:
        console.note(f"interrupted; {again}")
        raise


def _cancel(client: Client, submission: Submission) -> ExitCode:
    """Cancel this command's job. Raises JobConflict when the job of that id is another request's: it continues."""
    try:
        client.check_conflict(submission)
    except JobConflict:
        raise
    except ClientError as e:  # Whose job it is can't be read: that must not prevent the cancel.
        console.note(e.message)
    console.note(f"interrupted; cancelling job {submission.job_id}")
    client.cancel(submission)
    return ExitCode.INTERRUPTED
