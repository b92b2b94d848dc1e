"""trace."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Job, Tenant

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command(rich_help_panel=OPERATE)
def trace(job: Job, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show the trace of a job as a tree."""
    from shared.cli import operation

    operation.trace(job, tenant, as_json)
