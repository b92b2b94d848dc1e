"""``lipstage trace``: prints the traces of a job."""

import dataclasses

from shared.cli import console
from shared.cli.connection import locate
from shared.cli.errors import CliError


def trace(job_id: str, tenant: str, as_json: bool) -> None:
    """Print the traces of a job. Raises CliError when none is known."""
    from shared.cli import tree
    from shared.cli.events import Job
    from shared.cli.order import checked_job_id

    job = Job(tenant, checked_job_id(job_id))
    locate()
    found = tree.fetch(job)
    if not found:
        raise CliError(
            f"no trace of the job {job_id} of the tenant {tenant} is known",
            "spans arrive up to a second after the work",
        )
    if as_json:
        console.emit_json({trace: [dataclasses.asdict(s) for s in spans] for trace, spans in found.items()})
        return
    for trace_id, spans in found.items():
        console.say(f"trace {trace_id}, {len(spans)} spans")
        for line in tree.lines(spans):
            console.say(*line)
