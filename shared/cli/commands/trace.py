"""trace."""

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Job, Json, Tenant
from shared.messages.names import DEFAULT_TENANT


@app.command(rich_help_panel=OPERATE)
def trace(job: Job, tenant: Tenant = DEFAULT_TENANT, as_json: Json = False) -> None:
    """Show the trace of a job as a tree."""
    from shared.cli import trace as implementation
    from shared.client import JobKey

    implementation.trace(JobKey.parse(job, tenant), as_json)
