"""The command ``eval``."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands.output import Force


@app.command("eval", rich_help_panel=OPERATE)
def evaluate(
    video: Annotated[Path, typer.Argument(help="Talking-head video, of any engine or none.")],
    speech: Annotated[Path, typer.Argument(help="Recording of its speech.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Portrait to compare the picture around the face with.")
    ] = None,
    transcript: Annotated[
        Path | None,
        typer.Option("--transcript", help="English text of the speech, for a sharper reference; needs pocketsphinx."),
    ] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Write a plot of mouth and speech (png).")
    ] = None,
    sheet: Annotated[str | None, typer.Option("--sheet", metavar="FILE", help="Write a sheet of faces (jpg).")] = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a video's lip sync and picture quality.

    Uses a network that no engine uses. Needs no stack.
    """
    from shared.cli import console
    from shared.cli import evaluate as implementation

    metrics = implementation.evaluate(video, speech, reference, transcript, plot, sheet, force)
    if as_json:
        console.emit_json(metrics)
    else:
        implementation.print_metrics(metrics)
