"""watch, jobs, job, cancel, fetch, purge."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import JOBS, app
from shared.messages.names import DEFAULT_TENANT

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def _tenant(text: str) -> str:
    from shared.cli.order import checked_tenant

    return checked_tenant(text)


def _any_tenant(text: str | None) -> str | None:
    return None if text is None else _tenant(text)


Tenant = Annotated[str, typer.Option("--tenant", callback=_tenant, help="Tenant the job belongs to.")]
Scan = Annotated[int, typer.Option(min=1, help="Read at most so many of the newest events.")]
SCAN = 50_000
"""About 30 to 60 events belong to one job."""
SCAN_ONE = 400_000
"""For one job, whose key tells the others apart unread."""


@app.command(rich_help_panel=JOBS)
def watch(
    job: Job,
    tenant: Tenant = DEFAULT_TENANT,
    timeout: Annotated[float | None, typer.Option(help="Watch at most so many seconds.")] = None,
    scan: Scan = SCAN_ONE,
    as_json: Annotated[bool, typer.Option("--json", help="Every event as one JSON line.")] = False,
) -> None:
    """Follow a job until it ends. Ctrl-C ends watching, not the job."""
    from shared.cli import job_views

    raise typer.Exit(job_views.watch(job, tenant, timeout, scan, as_json))


@app.command(rich_help_panel=JOBS)
def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most so many jobs.")] = 20,
    tenant: Annotated[
        str | None, typer.Option("--tenant", callback=_any_tenant, help="Only this tenant's; default: all.")
    ] = None,
    scan: Scan = SCAN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per job.")] = False,
) -> None:
    """List jobs, newest first."""
    from shared.cli import job_views

    job_views.list_jobs(limit, scan, as_json, tenant)


@app.command(rich_help_panel=JOBS)
def job(job: Job, tenant: Tenant = DEFAULT_TENANT, scan: Scan = SCAN_ONE, as_json: Json = False) -> None:
    """Show what is known of one job."""
    from shared.cli import job_views

    job_views.show(job, tenant, scan, as_json)


@app.command(rich_help_panel=JOBS)
def cancel(job: Job, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Cancel a job.

    It stops at the next stage boundary, in infer at the next chunk.
    """
    from shared.cli import console
    from shared.cli.connection import connect
    from shared.cli.order import checked_job_id
    from shared.cli.submit import cancel as send_cancel

    checked_job_id(job)
    send_cancel(connect(), job, tenant)
    console.say(f"cancel of {job} sent")


@app.command(rich_help_panel=JOBS)
def fetch(
    job: Job,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    poster: Annotated[bool, typer.Option("--poster", help="Fetch the still picture instead of the video.")] = False,
    tenant: Tenant = DEFAULT_TENANT,
    scan: Scan = SCAN_ONE,
) -> None:
    """Download the video of a finished job."""
    from shared.cli import job_views

    job_views.fetch(job, output, poster, tenant, scan)


@app.command(rich_help_panel=JOBS)
def purge(
    job: Job,
    tenant: Tenant = DEFAULT_TENANT,
    force: Annotated[bool, typer.Option("--force", help="Also when the job has not ended.")] = False,
    as_json: Json = False,
) -> None:
    """Delete everything stored of a job.

    Inputs that this command line uploaded are deleted too; cached outputs expire by themselves.
    """
    from shared.cli import console
    from shared.cli.connection import connect
    from shared.cli.order import checked_job_id
    from shared.cli.purge import purge as delete_all

    checked_job_id(job)
    gone = delete_all(connect(), job, tenant, force)
    if as_json:
        console.emit_json({"job_id": job, "artifacts": gone.artifacts, "inputs": gone.inputs})
    else:
        console.say(f"{gone.artifacts} artifacts and {gone.inputs} inputs of {job} deleted")
