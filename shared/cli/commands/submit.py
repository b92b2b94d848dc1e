"""submit."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import RENDER, app
from shared.cli.commands.render import Engine, JobId, Json, Set, Tenant


@app.command(rich_help_panel=RENDER)
def submit(
    portrait: Annotated[Path | None, typer.Argument(help="Picture with a face.")] = None,
    speech: Annotated[Path | None, typer.Argument(help="Recording of speech.")] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", metavar="MANIFEST", help="Many jobs: a CSV or JSONL file.")
    ] = None,
    engine: Engine = None,
    assignments: Set = None,
    job_id: JobId = None,
    tenant: Tenant = None,
    as_json: Json = False,
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
        specs = implementation.batch(batch, assignments or [], engine, tenant)
    elif portrait is None or speech is None:
        raise BadUse("a portrait and a recording are needed, or --batch MANIFEST")
    else:
        specs = [spec(portrait, speech, assignments or [], engine, job_id, tenant)]
    implementation.submit(specs, as_json)
