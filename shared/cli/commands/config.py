"""The command `lipstage config`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command(rich_help_panel=OPERATE)
def config(
    as_json: Json = False,
    env: Annotated[
        bool, typer.Option("--env", help="Shell exports with which any client reaches the stack; prints secrets.")
    ] = False,
) -> None:
    """Show the settings in force, secrets hidden."""
    from shared.cli import config

    if env:
        config.print_exports()
    else:
        config.show(as_json)
