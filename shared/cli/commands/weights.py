"""The commands `lipstage weights ls`, `check` and `convert`."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app, new_app
from shared.cli.commands import completion

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Accept = Annotated[bool, typer.Option("--accept-licence", help="Accept the licences of the weights without a prompt.")]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Engine of the weights; default: the only one that needs them.",
        autocompletion=completion.engines,
    ),
]

weights_app = new_app("Model weights: those shipped, and those of the engines that need more.")
app.add_typer(weights_app, name="weights", rich_help_panel=OPERATE)


@weights_app.command("ls")
def weights_ls(as_json: Json = False) -> None:
    """List the files that each engine needs, where it looks for them, their licence and their state."""
    from shared.cli import weights

    weights.show(as_json)


@weights_app.command("check")
def weights_check(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="[DIR]", help="Folder or s3://BUCKET/PREFIX with weights; omitted: the shipped ones."),
    ] = None,
    engine: Engine = None,
    quick: Annotated[bool, typer.Option("--quick", help="Names, sizes and shapes only; no contents.")] = False,
    accept: Accept = False,
    as_json: Json = False,
) -> None:
    """Check names, sizes, SHA-256, keys and shapes; exit code 2 for any fault."""
    from shared.cli import weights

    raise typer.Exit(
        weights.check_shipped(as_json) if folder is None else weights.check(engine, folder, quick, accept, as_json)
    )


@weights_app.command("convert")
def weights_convert(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder or s3://BUCKET/PREFIX with the official files.")],
    out: Annotated[Path, typer.Argument(help="Folder to create; an interrupted conversion is resumed.")],
    engine: Engine = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of UNet, autoencoder and image encoder: float16, bfloat16 or float32.")
    ] = "float16",
    accept: Accept = False,
    as_json: Json = False,
) -> None:
    """Convert the official files to safetensors, once: half the size, and no code to execute."""
    from shared.cli import weights

    weights.convert(engine, folder, out, dtype, accept, as_json)
