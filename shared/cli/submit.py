"""submit."""

from pathlib import Path

from shared.cli import console
from shared.cli.connection import connect
from shared.cli.render import fields
from shared.client import Client, JobSpec, Unreachable


def batch(path: Path, texts: list[str], engine: str | None, tenant: str | None) -> list[JobSpec]:
    """The jobs of a manifest; options are defaults for its lines. Contacts nothing. Raises BadUse, InvalidRequest."""
    return Client().batch(path, **fields(texts, engine, tenant))


def submit(specs: list[JobSpec], as_json: bool) -> None:
    """Submit one job after the other; each id is printed as soon as the broker has it. Raises CliError, ClientError."""
    with connect() as client:
        submitted = 0
        try:
            for submission in client.submit_batch(specs):
                submitted += 1
                if as_json:
                    names = {"job_id": submission.job_id, "tenant": submission.tenant}
                    console.emit_json(names | {"trace_id": submission.trace_id})
                else:
                    console.say(submission.job_id)
        except Unreachable as e:
            if submitted:
                e.hint = f"{submitted} of {len(specs)} jobs were submitted; their ids are printed above"
            raise
