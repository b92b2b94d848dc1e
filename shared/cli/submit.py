"""submit: one job, or those of a batch manifest."""

import shlex
from pathlib import Path

from shared.cli import console, refused_rows, sending, watching
from shared.cli.connection import connect
from shared.cli.errors import CliError, ExitCode
from shared.cli.failures import arguments, batch_arguments
from shared.cli.render import fields
from shared.client import Client, ClientError, JobConflict, JobPurged, JobSpec, Manifest, Submission
from shared.client.consumers import ConsumerCheck

MAX_SHOWN = 20


def batch(
    path: Path, texts: list[str], engine: str | None, tenant: str | None, batch_id: str | None = None
) -> Manifest:
    """A manifest, checked; options are defaults for its rows. Contacts nothing. Raises BadUse, InvalidRequest."""
    defaults = fields(texts, engine, tenant)
    return Client().manifest(path, batch_id=batch_id, **defaults)


def dry_run(specs: Manifest | list[JobSpec], as_json: bool) -> None:
    """Print the jobs that would be submitted."""
    for spec in specs:
        if as_json:
            console.emit_json({"job_id": spec.job_id, "tenant": spec.key.tenant, "batch": _batch_id(spec)})
        else:
            console.say(spec.job_id)
    console.note(f"{_number(len(specs))} checked; nothing was sent")


def submit(specs: Manifest | list[JobSpec], as_json: bool) -> ExitCode:
    """Submit one job after the other; each id is printed as soon as the broker has it.

    The jobs of a manifest are made one at a time: a batch of any size takes as much memory.

    REJECTED when the ids of some rows of a batch are in use by other requests. Raises CliError, ClientError.
    """
    manifest = specs if isinstance(specs, Manifest) else None
    engines = manifest.engines if manifest is not None else {spec.engine for spec in specs}
    with connect() as client:
        checks = [ConsumerCheck(client.settings, engine) for engine in sorted(engines)]
        try:
            if manifest is not None:
                console.note(f"batch {manifest.batch_id}: {_number(len(manifest))}")
            refused, number = _submit_all(client, specs, as_json, manifest)
            for check in checks:
                watching.note_missing(check.result(), client.settings.topic_prefix)
            hint = refused_rows.hint(client, refused[0][0]) if refused else None
        finally:
            for check in checks:
                check.close()
    if refused:
        lines = [message for _, message in refused]
        lines += [f"... and {number - MAX_SHOWN} more"] if number > MAX_SHOWN else []
        raise CliError(
            f"{number} of {len(specs)} jobs were not submitted:",
            hint,
            lines,
            ExitCode.REJECTED,
        )
    return ExitCode.DONE


def _submit_all(
    client: Client, specs: Manifest | list[JobSpec], as_json: bool, manifest: Manifest | None
) -> tuple[list[tuple[JobSpec, str]], int]:
    """Submit; returns the first jobs of a batch that were refused, and why, and how many were. Says how to continue
    when it is interrupted."""
    refused: list[tuple[JobSpec, str]] = []
    sent = repeated = refusals = 0

    def named(option: str) -> str:
        return batch_arguments(manifest.batch_id, manifest.tenant, option) if manifest is not None else ""

    try:
        with sending.progress(len(specs) if manifest is not None else 0, quiet=as_json) as shown:
            for spec in specs:
                try:
                    submission = client.submit(spec)
                except (JobConflict, JobPurged) as e:
                    if manifest is None:
                        raise _explained(e, spec) from None
                    refusals += 1
                    if len(refused) < MAX_SHOWN:
                        refused.append((spec, e.message))
                    shown.advance()
                    continue
                repeated += submission.is_repeat
                sent += not submission.is_repeat
                _print(submission, spec, as_json)
                shown.advance()
                if manifest is None and not as_json:
                    _note_next(client, submission)
    except (ClientError, KeyboardInterrupt) as e:
        if manifest is not None:
            _note_counts(sent, repeated, len(specs))
            console.note("continue with this command and the same options; what was sent is not sent again:")
            # Of two parts, so that it is not broken into lines: it can be pasted as it is.
            again = f"lipstage submit --batch {shlex.quote(str(manifest.path))} {named('--batch-id')}"
            console.note("  ", again)
        if isinstance(e, ClientError) and manifest is not None:
            e.hint = e.hint or "see above how to continue"
        raise
    if manifest is not None:
        _note_counts(sent, repeated, len(specs))
        if not as_json and sent + repeated:
            console.note(f"follow them with `lipstage watch {named('--batch')}`")
            console.note(f"fetch the videos with `lipstage fetch {named('--batch')} -o FOLDER`")
    return refused, refusals


def _print(submission: Submission, spec: JobSpec, as_json: bool) -> None:
    if not as_json:
        console.say(submission.job_id)
        return
    names = {"job_id": submission.job_id, "tenant": submission.tenant, "trace_id": submission.trace_id or None}
    batch_id = _batch_id(spec)
    console.emit_json(names | {"repeat": submission.is_repeat} | ({"batch": batch_id} if batch_id else {}))


def _note_next(client: Client, submission: Submission) -> None:
    """Say what a user does after the submission of one job."""
    job = arguments(submission.key)
    if submission.is_repeat:
        terminal = client.terminal_event(submission)
        state = "it has not ended" if terminal is None else f"it ended: {terminal.type}"
        console.note(f"the same request was submitted before, nothing was sent: {state}")
        if terminal is not None and terminal.type != "done":
            console.note("to render it again, submit it under another --job-id")
    console.note(f"follow it with `lipstage watch {job}`; then `lipstage fetch {job} -o FILE.mp4`")


def _explained(error: ClientError, spec: JobSpec) -> ClientError:
    if isinstance(error, JobConflict):
        error.hint = f"choose another --job-id, or look at that job with `lipstage job {arguments(spec.key)}`"
    return error


def _note_counts(sent: int, repeated: int, total: int) -> None:
    before = f", {repeated} were submitted before" if repeated else ""
    console.note(f"{sent} of {_number(total)} sent{before}")


def _number(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def _batch_id(spec: JobSpec) -> str | None:
    place = spec.fields.get("batch")
    return str(place["id"]) if isinstance(place, dict) else None
