"""erase: named jobs, those of an owner, of a tenant, or of a portrait or speech file; `batches` has that of a batch."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import typer

from shared.cli import console, erase_report
from shared.cli.connection import connect
from shared.cli.erase_report import size_text
from shared.cli.errors import BadUse, CliError, ExitCode
from shared.cli.failures import arguments
from shared.client import Client, JobNotFinished, JobPurged, Purged
from shared.client.job_key import JobKey
from shared.client.purge_plan import PurgePlan
from shared.client.purged_objects import Count
from shared.local import stack, store_vacuum
from shared.local.hash_keys import pseudonyms_of
from shared.local.settings import LocalSettings
from shared.telemetry.pseudonyms import is_pseudonym

IDS_SHOWN = 5


def one(key: JobKey, cancel: bool, as_json: bool) -> None:
    """Erase a job, and print what that was and what stays. Raises CliError, ClientError."""
    client = connect()
    try:
        purged = client.purge(key, force=cancel)
    except JobNotFinished as e:
        hint = f"cancel it first with `lipstage cancel {arguments(key)}`, or use --cancel"
        raise CliError(e.message, hint) from None
    except JobPurged as e:
        e.hint = "there is nothing to do"
        raise
    erase_report.job(key, purged, as_json)
    vacuum(client)


def several(keys: list[JobKey], cancel: bool, as_json: bool) -> ExitCode:
    """Erase jobs one after the other; FAILED when one was not erased. Raises CliError, ClientError."""
    client = connect()
    numbers = _erase_all(client, keys, cancel, as_json, quiet=False)
    vacuum(client)
    if not numbers["erased"] and set(numbers) == {"before"}:
        return ExitCode.REJECTED
    return _code(numbers)


def show(keys: list[JobKey], as_json: bool) -> None:
    """Print what erasing these jobs would delete. Raises CliError, ClientError."""
    plan = connect().purge_plan_of(keys)
    if as_json:
        console.emit_json(erase_report.plan_as_json([plan]))
        return
    if plan.not_ended:
        console.note(f"{plan.not_ended} of them have not ended: they are left alone without --cancel")
    console.say(f"{len(plan.jobs)} jobs would be erased: {_size(plan)}, and their inputs and cached outputs")


def selected(
    tenant: str | None, owner: str | None, file: Path | None, what: str, cancel: bool, yes: bool, dry_run: bool,
    as_json: bool,
) -> ExitCode:  # fmt: skip
    """Print which jobs would be erased, ask, and erase them; of all tenants without ``tenant``. ``what`` names the
    file's kind. Raises CliError, ClientError."""
    if not (yes or dry_run) and not sys.stdin.isatty():
        raise BadUse("nobody can be asked whether to erase these jobs", "confirm with --yes, or look with --dry-run")
    client = connect()
    keys = pseudonyms_of(stack.running(LocalSettings())) if owner is not None and is_pseudonym(owner) else None
    tenants = [tenant] if tenant is not None else client.tenants()
    plans = [client.purge_plan(tenant=name, owner=owner, file=file, pseudonyms=keys) for name in tenants]
    for plan in plans:
        _note_gaps(plan)
    whose = f"of the owner {owner} " if owner is not None else f"that used the {what} " if file is not None else ""
    plans = [plan for plan in plans if not plan.is_empty]
    if not plans:
        where = f"of the tenant {tenant}" if tenant is not None else "of any tenant"
        raise CliError(f"no job {whose}{where} is left to erase", exit_code=ExitCode.REJECTED)
    if as_json and dry_run:
        console.emit_json(erase_report.plan_as_json(plans))
        return ExitCode.DONE
    for plan in plans:
        console.note(f"{len(plan.jobs)} jobs {whose}of the tenant {plan.tenant}: {_size(plan)}, and their inputs")
        if plan.has_rest:
            rest = f"{len(plan.cached)} cached outputs and {len(plan.uploads)} uploads of no such job"
            quotas = ", and what it has used of its quotas" if plan.quotas else ""
            console.note(f"and {rest}{quotas}{', and its webhooks' if plan.webhooks else ''}")
        if plan.not_ended:
            end = "they are cancelled" if cancel else "they are left alone without --cancel"
            console.note(f"{plan.not_ended} of them have not ended: {end}")
    if dry_run:
        return ExitCode.DONE
    if not yes and not typer.confirm("delete all that is stored of them?", err=True):
        raise CliError("nothing was deleted")
    numbers = Counter[str]()
    for plan in plans:
        numbers += _erase_all(client, plan.jobs, cancel, as_json, quiet=True)
        if plan.has_rest:
            erase_report.rest(plan.tenant, *client.purge_rest(plan), as_json)
    vacuum(client)
    return _code(numbers)


def _code(numbers: Counter[str]) -> ExitCode:
    return ExitCode.FAILED if numbers["not_finished"] or numbers["failed"] else ExitCode.DONE


def _erase_all(client: Client, keys: Iterable[JobKey], cancel: bool, as_json: bool, *, quiet: bool) -> Counter[str]:
    """Erase jobs one after the other; returns their numbers by what became of them. ``quiet``: print one line for all
    jobs, and the errors."""
    numbers, deleted, last = Counter[str](), Count(), list[Purged]()
    dead_letters: list[str] = []
    for result in client.purge_jobs(keys, force=cancel):
        if result.purged is None:
            error = result.error
            kind = "not_finished" if isinstance(error, JobNotFinished) else "failed"
            numbers["before" if isinstance(error, JobPurged) else kind] += 1
            if error is not None and not (quiet and isinstance(error, JobNotFinished)):
                console.note(f"job {result.job.job_id}: {error.message}")
            continue
        numbers["erased"] += 1
        last = [result.purged]
        dead_letters += result.purged.dead_letters
        for count in result.purged.deleted.values():
            deleted.objects, deleted.bytes = deleted.objects + count.objects, deleted.bytes + count.bytes
        if as_json or not quiet:
            erase_report.job(result.job, result.purged, as_json)
    if quiet and not as_json and numbers["erased"]:
        console.say(f"{numbers['erased']} jobs erased: {deleted.objects} objects, {size_text(deleted.bytes)}")
        erase_report.staying(last[0], dead_letters)
    if numbers["not_finished"]:
        console.note(f"{numbers['not_finished']} jobs have not ended: cancel them first, or use --cancel")
    return numbers


def vacuum(client: Client) -> None:
    """Have the local object store give back the space of deleted objects at once; nothing for another one."""
    running = stack.running(LocalSettings())
    if running is None or running.own_store or client.connection.s3.meta.endpoint_url != running.s3_endpoint_url:
        return
    if not store_vacuum.vacuum(running):
        console.note("the object store did not rewrite its files: it does so by itself, when a third is deleted")


def _size(plan: PurgePlan) -> str:
    return f"{plan.objects.objects} objects, {size_text(plan.objects.bytes)}"


def _note_gaps(plan: PurgePlan) -> None:
    for jobs, why in (
        (plan.unknown_owner, "of an earlier version have no stored owner"),
        (plan.unknown_inputs, "name an input without its SHA-256, which is gone"),
    ):
        if jobs:
            ids = ", ".join(job.job_id for job in jobs[:IDS_SHOWN])
            more = "" if len(jobs) <= IDS_SHOWN else ", ..."
            console.note(f"{len(jobs)} jobs {why} and are left alone: {ids}{more}")
    if not plan.requests_read:
        console.note("not every request was read: jobs that no service has taken may be missing")
