"""demo."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import RENDER, app


@app.command(rich_help_panel=RENDER)
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="The video to write.")] = Path("out/demo.mp4"),
) -> None:
    """Render the bundled sample.

    Starts a local stack when none runs, and stops what it started.
    """
    from shared.cli import demo as implementation

    raise typer.Exit(implementation.demo(output))
