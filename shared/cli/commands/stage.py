"""The command `lipstage stage`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app


@app.command(rich_help_panel=OPERATE)
def stage(
    name: Annotated[str, typer.Argument(metavar="STAGE", help="audio, face, infer or encode.")],
    engine: Annotated[
        str | None, typer.Option("--engine", help="For infer: the engine it runs; default: LIPSTAGE_ENGINE.")
    ] = None,
) -> None:
    """Run one stage service in the foreground."""
    from shared.cli import stage

    stage.run(name, engine)
