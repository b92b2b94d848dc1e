"""The command `lipstage quota`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Json, _any_tenant


@app.command(rich_help_panel=OPERATE)
def quota(
    tenant: Annotated[
        str | None,
        typer.Argument(
            metavar="TENANT", callback=_any_tenant, help="Default: all tenants that have quotas, or have used some."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what tenants have used of their quotas, the limits, and when the hour ends.

    Limits are those of LIPSTAGE_QUOTAS_FILE here; services read it where they run.
    """
    from shared.cli import quota as implementation

    implementation.show(tenant, as_json)
