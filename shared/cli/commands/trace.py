"""trace."""

from shared.cli.app import OPERATE, app
from shared.cli.commands.jobs import Job, Json, Tenant


@app.command(rich_help_panel=OPERATE)
def trace(job: Job, tenant: Tenant = "default", as_json: Json = False) -> None:
    """Show the trace of a job as a tree."""
    from shared.cli import trace as implementation
    from shared.client import JobKey

    implementation.trace(JobKey.parse(job, tenant), as_json)
