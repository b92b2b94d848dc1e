"""The commands `lipstage keys create`, `list` and `revoke`."""

from pathlib import Path
from typing import Annotated

import typer

from shared.cli.app import OPERATE, app, new_app
from shared.cli.commands import completion

keys_app = new_app("Make, list and revoke API keys of the gateway. Its file holds their hashes; a gateway that runs"
                   " notices a change.")  # fmt: skip
app.add_typer(keys_app, name="keys", rich_help_panel=OPERATE)

File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="The file of keys; default: LIPSTAGE_GATEWAY_KEYS_FILE, else that of the local stack.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@keys_app.command()
def create(
    tenant: Annotated[str, typer.Option(help="The tenant for which it speaks.")] = "default",
    role: Annotated[
        str,
        typer.Option(
            help="user; operator: also sees and replays dead letters of all tenants.",
            autocompletion=completion.roles,
        ),
    ] = "user",
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="As 12h, 90d or 52w from now; omitted: never.")
    ] = None,
    note: Annotated[str, typer.Option(help="Whose it is, for `lipstage keys list`.")] = "",
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: it can't be shown again."""
    from shared.cli import keys

    keys.create(file, tenant, role, expires, note, as_json)


@keys_app.command("list")
def list_(file: File = None, as_json: Json = False) -> None:
    """Show the keys of the file, without their secrets."""
    from shared.cli import keys

    keys.show(file, as_json)


@keys_app.command()
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The id of a key, or the key itself.")],
    file: File = None,
) -> None:
    """Remove keys from the file: a gateway refuses them within seconds."""
    from shared.cli import keys

    keys.revoke(file, ids)
