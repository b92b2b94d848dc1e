"""eval."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app


@app.command("eval", rich_help_panel=OPERATE)
def evaluate(
    video: Annotated[Path, typer.Argument(help="Talking head to judge; any engine's, or none's.")],
    speech: Annotated[Path, typer.Argument(help="Recording that it should say.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Portrait: is the picture around the face still the same?")
    ] = None,
    transcript: Annotated[
        Path | None,
        typer.Option("--transcript", help="English text of the speech, for a sharper reference; needs pocketsphinx."),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw mouth and speech, as x.png.")] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Draw faces at telling moments, as x.jpg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a video: is the mouth in sync, closed and open when it should be?

    Judged by a network that no engine uses. Needs no stack.
    """
    from shared.cli import console, evaluation

    figures = evaluation.evaluate(video, speech, reference, transcript, plot, sheet)
    if as_json:
        console.emit_json(figures)
    else:
        evaluation.report(figures)
