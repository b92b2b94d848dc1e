"""render."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import RENDER, app
from shared.cli.commands import completion
from shared.cli.commands.output import Force, Output
from shared.cli.parameter_help import ParameterCommand

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A parameter or request field, as dynamic_scale=1.2; repeatable. All names are listed below.",
        autocompletion=completion.parameters,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="Engine that animates; default: puppet.", autocompletion=completion.engines),
]
JobId = Annotated[str | None, typer.Option("--job-id", help="Id of the job; default: a fresh one.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant the job belongs to.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(cls=ParameterCommand, rich_help_panel=RENDER)
def render(
    portrait: Annotated[Path, typer.Argument(help="Picture with a face: JPEG, PNG, WebP, AVIF, HEIC, GIF or BMP.")],
    speech: Annotated[Path, typer.Argument(help="Recording: WAV, AIFF, MP3, M4A (AAC, ALAC), OGG, WebM or FLAC.")],
    output: Output,
    force: Force = False,
    engine: Engine = None,
    assignments: Set = None,
    job_id: JobId = None,
    tenant: Tenant = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Wait for at most this many seconds; the job continues.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Render a video and wait for it. Ctrl-C cancels the job."""
    from shared.cli import render as implementation
    from shared.cli.output_file import OutputFile

    spec = implementation.spec(portrait, speech, assignments or [], engine, job_id, tenant)
    video = OutputFile(
        output,
        inputs={"portrait": portrait, "speech": speech},
        force=force,
        suffixes=(".mp4",),
        stdout_holds="--json prints there" if as_json else None,
    )
    raise typer.Exit(implementation.render(spec, video, timeout, as_json))
