"""submit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.app import RENDER, app
from shared.cli.commands.render import Engine, JobId, Set, Tenant
from shared.cli.parameter_help import ParameterCommand

if TYPE_CHECKING:
    from shared.client import JobSpec, Manifest


@app.command(cls=ParameterCommand, rich_help_panel=RENDER)
def submit(
    portrait: Annotated[Path | None, typer.Argument(help="Picture with a face.")] = None,
    speech: Annotated[Path | None, typer.Argument(help="Recording of speech.")] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", metavar="MANIFEST", help="Many jobs: a CSV or JSONL file.")
    ] = None,
    batch_id: Annotated[
        str | None,
        typer.Option(
            "--batch-id",
            help="With --batch: id of the batch; default: a fresh one. A repeat under the same id sends only the jobs"
            " that no service has taken.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check files and fields on this machine, and send nothing.")
    ] = False,
    engine: Engine = None,
    assignments: Set = None,
    job_id: JobId = None,
    tenant: Tenant = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per job on stdout.")] = False,
) -> None:
    """Submit jobs and print their ids.

    Does not wait for the videos: see watch and fetch.
    """
    from shared.cli import submit as implementation
    from shared.cli.errors import BadUse
    from shared.cli.render import spec

    if batch is not None:
        if portrait or speech or job_id:
            raise BadUse("--batch takes portraits, recordings and job ids from the manifest alone")
        specs: Manifest | list[JobSpec] = implementation.batch(batch, assignments or [], engine, tenant, batch_id)
    elif portrait is None or speech is None:
        raise BadUse("a portrait and a recording are needed, or --batch MANIFEST")
    elif batch_id is not None:
        raise BadUse("--batch-id needs --batch MANIFEST")
    else:
        specs = [spec(portrait, speech, assignments or [], engine, job_id, tenant)]
    if dry_run:
        implementation.dry_run(specs, as_json)
    else:
        implementation.submit(specs, as_json)
