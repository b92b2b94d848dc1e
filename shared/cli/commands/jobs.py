"""watch, jobs, job, cancel, fetch, purge."""

from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.app import JOBS, app
from shared.cli.commands.output import Force, Output
from shared.messages.names import DEFAULT_TENANT
from shared.messages.scan_limits import MAX_EVENTS, MAX_EVENTS_OF_JOB

if TYPE_CHECKING:
    from shared.client import JobKey

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def _tenant(text: str) -> str:
    from shared.client.job_key import checked_tenant

    return checked_tenant(text)


def _any_tenant(text: str | None) -> str | None:
    return None if text is None else _tenant(text)


def _key(job: str, tenant: str) -> "JobKey":
    from shared.client import JobKey

    return JobKey.parse(job, tenant)


Tenant = Annotated[str, typer.Option("--tenant", callback=_tenant, help="Tenant the job belongs to.")]
Scan = Annotated[int, typer.Option(min=1, help="Read at most this many of the newest events.")]


@app.command(rich_help_panel=JOBS)
def watch(
    job: Job,
    tenant: Tenant = DEFAULT_TENANT,
    timeout: Annotated[float | None, typer.Option(help="Watch for at most this many seconds.")] = None,
    scan: Scan = MAX_EVENTS_OF_JOB,
    as_json: Annotated[bool, typer.Option("--json", help="Every event as one JSON line.")] = False,
) -> None:
    """Follow a job until it ends. Ctrl-C ends watching, not the job."""
    from shared.cli import jobs as implementation

    raise typer.Exit(implementation.watch(_key(job, tenant), timeout, scan, as_json))


@app.command(rich_help_panel=JOBS)
def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many jobs.")] = 20,
    tenant: Annotated[
        str | None, typer.Option("--tenant", callback=_any_tenant, help="Only jobs of this tenant; default: all.")
    ] = None,
    scan: Scan = MAX_EVENTS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per job.")] = False,
) -> None:
    """List jobs, newest first."""
    from shared.cli import jobs as implementation

    implementation.jobs(limit, scan, as_json, tenant)


@app.command(rich_help_panel=JOBS)
def job(job: Job, tenant: Tenant = DEFAULT_TENANT, scan: Scan = MAX_EVENTS_OF_JOB, as_json: Json = False) -> None:
    """Show the state of one job."""
    from shared.cli import jobs as implementation

    implementation.job(_key(job, tenant), scan, as_json)


@app.command(rich_help_panel=JOBS)
def cancel(job: Job, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Cancel a job.

    It stops at the next stage boundary, in infer at the next chunk.
    """
    from shared.cli import jobs as implementation

    implementation.cancel(_key(job, tenant))


@app.command(rich_help_panel=JOBS)
def fetch(
    job: Job,
    output: Output,
    force: Force = False,
    poster: Annotated[bool, typer.Option("--poster", help="Fetch the still picture instead of the video.")] = False,
    tenant: Tenant = DEFAULT_TENANT,
    scan: Scan = MAX_EVENTS_OF_JOB,
) -> None:
    """Download the video of a finished job."""
    from shared.cli import jobs as implementation
    from shared.cli.output_file import OutputFile

    file = OutputFile(output, force=force, suffixes=(".jpg", ".jpeg") if poster else (".mp4",))
    implementation.fetch(_key(job, tenant), file, poster, scan)


@app.command(rich_help_panel=JOBS)
def purge(
    job: Job,
    tenant: Tenant = DEFAULT_TENANT,
    force: Annotated[bool, typer.Option("--force", help="Also when the job has not ended.")] = False,
    as_json: Json = False,
) -> None:
    """Delete everything stored of a job.

    Inputs that a client uploaded for it are deleted too; cached outputs expire by themselves.
    """
    from shared.cli import jobs as implementation

    implementation.purge(_key(job, tenant), force, as_json)
