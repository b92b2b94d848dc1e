"""The command `lipstage stage`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app
from shared.cli.commands import completion


@app.command(rich_help_panel=OPERATE)
def stage(
    name: Annotated[
        str,
        typer.Argument(
            metavar="STAGE",
            help="audio, face, infer, encode, relay, projection, gateway or webhooks.",
            autocompletion=completion.stages,
        ),
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="For infer: the engine it runs; default: LIPSTAGE_ENGINE.",
            autocompletion=completion.engines,
        ),
    ] = None,
) -> None:
    """Run one stage service, the relay of retries, the job-state projection, the gateway or webhooks, in the
    foreground."""
    from shared.cli import stage

    stage.run(name, engine)
