"""erase."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import JOBS, app
from shared.cli.commands.jobs import Batch, Json, _key, _refuse, _tenant
from shared.messages.names import DEFAULT_TENANT
from shared.messages.scan_limits import MAX_EVENTS_OF_JOB

SELECTED = "for an owner, a tenant or a file"


@app.command(rich_help_panel=JOBS)
@app.command("purge", hidden=True)
def erase(
    ctx: typer.Context,
    job: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB", help="Ids of one or several jobs; or name a batch, an owner, a file or a tenant."
        ),
    ] = None,
    batch: Batch = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", help="Instead of a job: all jobs of an owner of the tenant, by its name or its hash."),
    ] = None,
    portrait: Annotated[
        Path | None,
        typer.Option(
            "--portrait",
            metavar="FILE",
            help="Instead of a job: all jobs of the tenant that used this portrait, and what was cached from it.",
        ),
    ] = None,
    speech: Annotated[
        Path | None,
        typer.Option("--speech", metavar="FILE", help="The same for a speech recording."),
    ] = None,
    tenant: Annotated[
        str,
        typer.Option("--tenant", callback=_tenant, help="Tenant the jobs belong to; alone: all jobs of this tenant."),
    ] = DEFAULT_TENANT,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="With --owner, --portrait or --speech: of every tenant.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", "--force", help="Also when a job has not ended: it is cancelled.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be erased; delete nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="For an owner, a tenant or a file: do not ask before anything is deleted.")
    ] = False,
    scan: Annotated[
        int, typer.Option(min=1, help="For a batch: read at most this many of the newest events.")
    ] = MAX_EVENTS_OF_JOB,
    as_json: Json = False,
) -> None:
    """Delete everything stored of jobs, of a batch, of an owner, of a portrait or speech file, or of a tenant.

    Deleted are results, also those in output buckets, intermediate files, checkpoints, the cached outputs that the jobs
    made or used, the values of dead letters in the bucket, and inputs that a client uploaded. Printed is what stays
    until when. An erasure that was interrupted goes on when it is repeated.
    """
    from shared.cli.errors import BadUse

    source = ctx.get_parameter_source("tenant")
    files = [file for file in (portrait, speech) if file is not None]
    if sum((bool(job), batch is not None, owner is not None, len(files) > 0)) > 1 or len(files) > 1:
        raise BadUse("name jobs, or one batch, or one owner, or one file")
    if all_tenants and owner is None and not files:
        raise BadUse("--all-tenants has no effect without --owner, --portrait or --speech")
    if batch is not None:
        from shared.cli import batches

        _refuse(ctx, ("yes",), "for a batch", "its jobs are named by the batch")
        raise typer.Exit(batches.erase(batch, tenant, cancel, dry_run, scan, as_json))
    from shared.cli import erase as implementation

    if job:
        _refuse(ctx, ("scan",), "for named jobs", "their objects are found without events")
        _refuse(ctx, ("yes",), "for named jobs", "it asks nothing")
        keys = list(dict.fromkeys(_key(one, tenant) for one in job))
        if dry_run:
            implementation.show(keys, as_json)
            return
        if len(keys) > 1:
            raise typer.Exit(implementation.several(keys, cancel, as_json))
        implementation.one(keys[0], cancel, as_json)
        return
    if owner is None and not files and (source is None or source.name == "DEFAULT"):
        raise BadUse(
            "name jobs, a batch with --batch ID, an owner with --owner, a file with --portrait or --speech, or a tenant"
            " with --tenant"
        )
    _refuse(ctx, ("scan",), SELECTED, "their jobs are found without events")
    what, file = ("portrait", portrait) if portrait is not None else ("speech", speech)
    named = None if all_tenants else tenant
    raise typer.Exit(implementation.selected(named, owner, file, what, cancel, yes, dry_run, as_json))
