"""render: submits one job, follows it and fetches its video."""

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
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.events import Done


def spec(
    portrait: Path, speech: Path, texts: list[str], engine: str | None, job_id: str | None, tenant: str | None
) -> JobSpec:
    """The job that the options describe. Contacts nothing. Raises BadUse, InvalidRequest."""
    given = fields(texts, engine, tenant) | ({"job_id": job_id} if job_id else {})
    return Client().job_spec(portrait, speech, **given)


def fields(texts: list[str], engine: str | None, tenant: str | None) -> Fields:
    """The request fields that ``--set``, ``--engine`` and ``--tenant`` name. Raises BadUse, InvalidRequest."""
    given = assignments.parse(texts, engine or DEFAULT_ENGINE)
    return given | ({"engine": engine} if engine else {}) | ({"tenant": tenant} if tenant else {})


def render(job: JobSpec, output: OutputFile, timeout_s: float | None, as_json: bool) -> ExitCode:
    """Submit, follow, fetch, report. Ctrl-C cancels the job. Raises CliError, ClientError."""
    output.check()
    with connect() as client:
        # Before the request is sent: all events of the job come after it.
        start = client.position(job.key.tenant)
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
    client.cancel(submission, force=True)  # It is this command's own: nothing need be looked up.
    return ExitCode.INTERRUPTED
