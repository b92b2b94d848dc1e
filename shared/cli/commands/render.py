"""render."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import RENDER, app

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter or request field, as dynamic_scale=1.2; repeatable."),
]
Engine = Annotated[str | None, typer.Option("--engine", help="Engine that animates; default: puppet.")]
JobId = Annotated[str | None, typer.Option("--job-id", help="Id of the job; default: a fresh one.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant the job belongs to.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(rich_help_panel=RENDER)
def render(
    portrait: Annotated[Path, typer.Argument(help="Picture with a face: JPEG, PNG, WebP or BMP.")],
    speech: Annotated[Path, typer.Argument(help="Recording: WAV, MP3, M4A, OGG or FLAC.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The video to write.")],
    engine: Engine = None,
    assignments: Set = None,
    job_id: JobId = None,
    tenant: Tenant = None,
    timeout: Annotated[
        float | None, typer.Option(help="Wait for at most this many seconds; the job continues.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render a video and wait for it. Ctrl-C cancels the job."""
    from shared.cli import render as implementation

    spec = implementation.spec(portrait, speech, assignments or [], engine, job_id, tenant)
    raise typer.Exit(implementation.render(spec, output, timeout, as_json))
