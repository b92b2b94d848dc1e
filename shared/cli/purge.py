"""purge of jobs: named ones, those of an owner, those of a tenant; `batches` has that of a batch."""

import sys
import textwrap
from collections import Counter
from dataclasses import asdict

import typer

from shared.cli import console
from shared.cli.connection import connect
from shared.cli.errors import BadUse, CliError, ExitCode
from shared.cli.failures import arguments
from shared.client import Client, JobNotFinished, JobPurged, Purged
from shared.client.job_key import JobKey
from shared.client.purge_plan import PurgePlan
from shared.client.purged_objects import Count

KEPT = {
    "output bucket": "your copies",
    "other inputs": "of other clients",
}
"""Why a purge keeps objects of a class."""
IDS_SHOWN = 5
COLUMNS = 60


def one(key: JobKey, force: bool, as_json: bool) -> None:
    """Delete what is stored of a job, and print what that was and what stays. Raises CliError, ClientError."""
    try:
        purged = connect().purge(key, force=force)
    except JobNotFinished as e:
        hint = f"cancel it first with `lipstage cancel {arguments(key)}`, or use --force"
        raise CliError(e.message, hint) from None
    except JobPurged as e:
        e.hint = "there is nothing to do"
        raise
    _report(key, purged, as_json)


def several(keys: list[JobKey], force: bool, as_json: bool) -> ExitCode:
    """Purge jobs one after the other; FAILED when one was not purged. Raises CliError, ClientError."""
    return _purge_all(connect(), keys, force, as_json, quiet=False)


def of_owner_or_tenant(tenant: str, owner: str | None, force: bool, confirmed: bool, as_json: bool) -> ExitCode:
    """Print which jobs would be purged, ask, and purge them. Raises CliError, ClientError."""
    if not confirmed and not sys.stdin.isatty():
        raise BadUse("nobody can be asked whether to purge these jobs", "confirm with --yes")
    client = connect()
    plan = client.purge_plan(tenant=tenant, owner=owner)
    _note_gaps(plan)
    whose = f"of the tenant {tenant}" if owner is None else f"of the owner {owner} of the tenant {tenant}"
    if not plan.jobs:
        raise CliError(f"no job {whose} is left to purge", exit_code=ExitCode.REJECTED)
    size = size_text(plan.objects.bytes)
    console.note(f"{len(plan.jobs)} jobs {whose}: {plan.objects.objects} objects, {size}, and their inputs")
    if plan.not_ended:
        end = "they are cancelled" if force else "they are left alone without --force"
        console.note(f"{plan.not_ended} of them have not ended: {end}")
    if not confirmed and not typer.confirm("delete all that is stored of them?", err=True):
        raise CliError("nothing was deleted")
    return _purge_all(client, plan.jobs, force, as_json, quiet=True)


def _purge_all(client: Client, keys: list[JobKey], force: bool, as_json: bool, *, quiet: bool) -> ExitCode:
    """``quiet``: print one line for all jobs, and the errors."""
    numbers, deleted, dead_letters = Counter[str](), Count(), list[str]()
    for result in client.purge_jobs(keys, force=force):
        if result.purged is None:
            error = result.error
            kind = "not_finished" if isinstance(error, JobNotFinished) else "failed"
            numbers["before" if isinstance(error, JobPurged) else kind] += 1
            if error is not None and not (quiet and isinstance(error, JobNotFinished)):
                console.note(f"job {result.job.job_id}: {error.message}")
            continue
        numbers["purged"] += 1
        dead_letters += result.purged.dead_letters
        for count in result.purged.deleted.values():
            deleted.objects, deleted.bytes = deleted.objects + count.objects, deleted.bytes + count.bytes
        if as_json or not quiet:
            _report(result.job, result.purged, as_json)
    if quiet and not as_json:
        console.say(f"{numbers['purged']} jobs purged: {deleted.objects} objects, {size_text(deleted.bytes)}")
        _say_dead_letters(dead_letters)
    if numbers["not_finished"]:
        console.note(f"{numbers['not_finished']} jobs have not ended: cancel them first, or use --force")
    if not quiet and not numbers["purged"] and set(numbers) == {"before"}:
        return ExitCode.REJECTED
    return ExitCode.FAILED if numbers["not_finished"] or numbers["failed"] else ExitCode.DONE


def _report(key: JobKey, purged: Purged, as_json: bool) -> None:
    if as_json:
        console.emit_json({"job_id": key.job_id, "tenant": key.tenant, **asdict(purged)})
        return
    console.say(f"job {key.job_id} purged")
    for title, counts in (("deleted", purged.deleted), ("kept", purged.kept)):
        for name, count in sorted(counts.items()):
            why = f"  {KEPT[name]}" if title == "kept" and name in KEPT else ""
            console.say(f"  {title:<8}{name:<16}{count.objects:>5} {size_text(count.bytes):>9}{why}")
    if not purged.deleted:
        console.say("  deleted nothing: no object was left")
    _say_dead_letters(purged.dead_letters)
    if not purged.dead_letters_read:
        console.note("not every dead letter was read: there may be more of this job, and their values in the bucket")
    _say_kept(
        f"a record that the job was purged; and until their retention the records on {', '.join(purged.records_kept)}"
    )
    if not purged.event_published:
        console.note("the broker did not take the event `purged`: `lipstage jobs` shows the job as before")


def _say_dead_letters(dead_letters: tuple[str, ...] | list[str]) -> None:
    if dead_letters:
        more = f" and {len(dead_letters) - IDS_SHOWN} more" if len(dead_letters) > IDS_SHOWN else ""
        _say_kept(f"the records of dead letters {', '.join(dead_letters[:IDS_SHOWN])}{more}")


def _say_kept(text: str) -> None:
    for number, part in enumerate(textwrap.wrap(text, COLUMNS - 10, break_long_words=False, break_on_hyphens=False)):
        console.say(f"  {'kept' if number == 0 else '':<8}{part}")


def _note_gaps(plan: PurgePlan) -> None:
    if plan.unknown_owner:
        ids = ", ".join(job.job_id for job in plan.unknown_owner[:IDS_SHOWN])
        more = "" if len(plan.unknown_owner) <= IDS_SHOWN else ", ..."
        console.note(
            f"{len(plan.unknown_owner)} jobs of an earlier version have no stored owner and are left alone: {ids}{more}"
        )
    if not plan.requests_read:
        console.note("not every request was read: jobs that no service has taken may be missing")


def size_text(number: int) -> str:
    """A number of bytes: ``512 B``, ``1.5 MB``."""
    size = float(number)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
