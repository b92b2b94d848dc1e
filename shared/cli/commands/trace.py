"""trace, traces."""

from datetime import datetime
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Job, Json, Tenant
from shared.cli.commands.output import Force
from shared.messages.names import DEFAULT_TENANT


@app.command(rich_help_panel=OPERATE)
def trace(
    job: Job,
    tenant: Tenant = DEFAULT_TENANT,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write one page that works without network; - for stdout."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show the traces of a job as trees: the render, its retries, and the traces of its replays."""
    from shared.cli import trace as implementation
    from shared.cli.errors import BadUse
    from shared.cli.output_file import OutputFile
    from shared.client import JobKey

    if html is None and force:
        raise BadUse("--force has no effect without --html")
    if html is not None and as_json:
        raise BadUse("choose --html or --json")
    page = None if html is None else OutputFile(html, force=force, suffixes=(".html", ".htm"))
    implementation.trace(JobKey.parse(job, tenant), as_json, page)


@app.command(rich_help_panel=OPERATE)
def traces(
    where: Annotated[
        str,
        typer.Option(
            "--where", metavar="EXPRESSION", help="Only these, for example 'inference.steps > 20 and duration > 60s'."
        ),
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="Submitted since then: 30m, 2h, 7d, or an ISO 8601 time.")
    ] = "24h",
    until: Annotated[str | None, typer.Option("--until", help="Submitted before then; default: now.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=999, help="Show at most this many.")] = 20,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="List what an expression can ask for, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per render.")] = False,
) -> None:
    """Find renders by what happened to them, newest first.

    An expression compares attributes with = != < <= > >= and joins comparisons with and, or, not and parentheses.
    Numbers are written without units; texts are quoted: engine = "puppet". A render that lacks an attribute satisfies
    no comparison with it. Asked are the traces, in Tempo where there is one, which may be sampled: who used what is
    in `lipstage audit`.
    """
    from shared.cli import moments
    from shared.cli import traces as implementation

    if attributes:
        implementation.known(as_json)
        return
    now = datetime.now().astimezone()
    until_ns = None if until is None else _ns(moments.parse(until, now, "--until"))
    implementation.traces(where, _ns(moments.parse(since, now)), until_ns, limit, as_json)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) * 1_000_000
