"""watch, jobs, job, cancel, fetch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.app import JOBS, app
from shared.cli.commands.output import Force
from shared.messages.names import DEFAULT_TENANT
from shared.messages.scan_limits import MAX_EVENTS, MAX_EVENTS_OF_JOB

if TYPE_CHECKING:
    from shared.client import JobKey

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
OneJob = Annotated[str | None, typer.Argument(metavar="JOB", help="Id of the job; or name a batch.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def _tenant(text: str) -> str:
    from shared.client.job_key import checked_tenant

    return checked_tenant(text)


def _any_tenant(text: str | None) -> str | None:
    return None if text is None else _tenant(text)


def _batch(text: str | None) -> str | None:
    from shared.client.manifest import checked_batch_id

    return None if text is None else checked_batch_id(text)


def _key(job: str, tenant: str) -> "JobKey":
    from shared.client import JobKey

    return JobKey.parse(job, tenant)


def _one_of(job: str | None, batch: str | None) -> str:
    """The job, or an empty text when a batch is named. Raises BadUse unless exactly one of them is."""
    from shared.cli.errors import BadUse

    if (job is None) == (batch is None):
        raise BadUse("name one job, or a batch with --batch ID")
    return job or ""


def _refuse(ctx: typer.Context, names: tuple[str, ...], where: str, hint: str | None = None) -> None:
    """Raises BadUse when the user set one of these options, which have no effect there."""
    from shared.cli.errors import BadUse

    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if param.name in names and source is not None and source.name != "DEFAULT":
            raise BadUse(f"{param.opts[0]} has no effect {where}", hint)


Tenant = Annotated[str, typer.Option("--tenant", callback=_tenant, help="Tenant the job belongs to.")]
Scan = Annotated[int, typer.Option(min=1, help="Read at most this many of the newest events.")]
Batch = Annotated[
    str | None, typer.Option("--batch", metavar="ID", callback=_batch, help="Instead of a job: all jobs of a batch.")
]


@app.command(rich_help_panel=JOBS)
def watch(
    ctx: typer.Context,
    job: OneJob = None,
    batch: Batch = None,
    tenant: Tenant = DEFAULT_TENANT,
    wait: Annotated[
        bool, typer.Option("--wait", help="Not for a batch: also for a job that is not known yet.")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="Watch for at most this many seconds.")] = None,
    scan: Scan = MAX_EVENTS_OF_JOB,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="For a batch: write a row for each job at the end; .csv, .jsonl or .ndjson.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every event as one JSON line.")] = False,
) -> None:
    """Follow a job, or a batch, until it ends. Ctrl-C ends watching, not the job."""
    one = _one_of(job, batch)
    if batch is not None:
        from shared.cli import batches

        _refuse(ctx, ("wait",), "for a batch", "a batch can be watched once one of its jobs has been submitted")
        raise typer.Exit(batches.watch(batch, tenant, timeout, scan, as_json, report))
    from shared.cli import jobs as implementation

    _refuse(ctx, ("report",), "for one job", "its state is printed by `lipstage job`")
    raise typer.Exit(implementation.watch(_key(one, tenant), timeout, scan, as_json, wait))


@app.command(rich_help_panel=JOBS)
def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many jobs.")] = 20,
    tenant: Annotated[
        str | None, typer.Option("--tenant", callback=_any_tenant, help="Only jobs of this tenant; default: all.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="ID", callback=_batch, help="Only jobs of this batch.")
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            help="Only jobs in this status: queued, accepted, running, waiting, done, rejected, failed, cancelled or"
            " purged; repeatable.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only jobs submitted since then: 30m, 2h, 7d, or an ISO 8601 time.")
    ] = None,
    scan: Scan = MAX_EVENTS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per job.")] = False,
) -> None:
    """List jobs, newest first."""
    from datetime import datetime

    from shared.cli import jobs as implementation
    from shared.cli import moments

    since_ms = int(moments.parse(since, datetime.now().astimezone()).timestamp() * 1000) if since is not None else 0
    implementation.jobs(limit, scan, as_json, tenant, batch, tuple(status or ()), since_ms)


@app.command(rich_help_panel=JOBS)
def job(job: Job, tenant: Tenant = DEFAULT_TENANT, scan: Scan = MAX_EVENTS_OF_JOB, as_json: Json = False) -> None:
    """Show the state of one job."""
    from shared.cli import jobs as implementation

    implementation.job(_key(job, tenant), scan, as_json)


@app.command(rich_help_panel=JOBS)
def cancel(
    ctx: typer.Context,
    job: OneJob = None,
    batch: Batch = None,
    tenant: Tenant = DEFAULT_TENANT,
    wait: Annotated[
        bool, typer.Option("--wait", help="Not for a batch: wait for the end of the job, for a minute at most.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Not for a batch: also cancel a job that nothing is known of.")
    ] = False,
    scan: Scan = MAX_EVENTS_OF_JOB,
) -> None:
    """Cancel a job, or the jobs of a batch that have not ended.

    A job that waits has ended at once; a stage that works on it stops within seconds.
    """
    one = _one_of(job, batch)
    if batch is not None:
        from shared.cli import batches

        _refuse(ctx, ("wait",), "for a batch", "wait for the ends of its jobs with `lipstage watch --batch ID`")
        _refuse(ctx, ("force",), "for a batch", "it cancels the jobs that are known and have not ended")
        raise typer.Exit(batches.cancel(batch, tenant, scan))
    from shared.cli import jobs as implementation

    raise typer.Exit(implementation.cancel(_key(one, tenant), wait, force, scan))


@app.command(rich_help_panel=JOBS)
def fetch(
    ctx: typer.Context,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file to write, - for stdout; for a batch: the folder. A device is written through.",
        ),
    ],
    job: OneJob = None,
    force: Force = False,
    batch: Batch = None,
    poster: Annotated[bool, typer.Option("--poster", help="Fetch the still picture instead of the video.")] = False,
    label: Annotated[
        str | None, typer.Option("--name-by", metavar="LABEL", help="For a batch: name the files by this label.")
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
    scan: Scan = MAX_EVENTS_OF_JOB,
) -> None:
    """Download the video of a finished job, or those of a batch."""
    from shared.cli.errors import BadUse
    from shared.cli.output_file import STDOUT_NAMES, OutputFile

    one = _one_of(job, batch)
    if batch is not None:
        from shared.cli import batches

        if output in ("", *STDOUT_NAMES):
            raise BadUse("the videos of a batch are files in a folder", "name the folder with -o")
        raise typer.Exit(batches.fetch(batch, tenant, Path(output), poster, label, force, scan))
    from shared.cli import jobs as implementation

    _refuse(ctx, ("label",), "for one job", "its file is named by -o")
    file = OutputFile(output, force=force, suffixes=(".jpg", ".jpeg") if poster else (".mp4",))
    implementation.fetch(_key(one, tenant), file, poster, scan)
