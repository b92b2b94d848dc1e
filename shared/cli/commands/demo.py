"""demo."""

from typing import Annotated

import typer

from shared.cli.app import RENDER, app
from shared.cli.commands.output import Force


@app.command(rich_help_panel=RENDER)
def demo(
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="The video to write; default: out/demo.mp4, replaced."),
    ] = None,
    force: Force = False,
) -> None:
    """Render the bundled sample.

    Starts a local stack when none runs, and stops what it started.
    """
    from shared.cli import demo as implementation

    raise typer.Exit(implementation.demo(output, force))
