"""audit."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Scan, _any_tenant
from shared.messages.scan_limits import MAX_EVENTS_OF_AUDIT


@app.command(rich_help_panel=OPERATE)
def audit(
    ctx: typer.Context,
    department: Annotated[str | None, typer.Option("--department", help="Only jobs of this department.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", callback=_any_tenant, help="Only jobs of this tenant; default: all.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", help="Only jobs of this owner: its name, hashed here by every key in use, or its hash."
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First day of submission, UTC; default: seven days with today."),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Last day, UTC, which belongs to it; default: today.")
    ] = None,
    scan: Scan = MAX_EVENTS_OF_AUDIT,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout, times in seconds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per job.")] = False,
    erasures: Annotated[
        bool, typer.Option("--erasures", help="Instead: which jobs were erased in these days; of one tenant, or all.")
    ] = False,
) -> None:
    """List who had what rendered, with outcome, durations and cost: from the job records, not from sampled traces.

    Owners appear as keyed hashes only. Exit code 1 when older events were not read: rows may be missing.
    """
    from shared.cli import audit as implementation

    if erasures:
        from shared.cli import erasures as of_erasures
        from shared.cli.commands.jobs import _refuse

        _refuse(ctx, ("department", "owner", "scan", "as_csv"), "for erasures", "their records name tenant and job")
        of_erasures.run(tenant, first, last, as_json)
        return

    raise typer.Exit(implementation.run(department, tenant, owner, first, last, scan, as_csv, as_json))
