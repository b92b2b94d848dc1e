"""The command `lipstage buckets apply`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app, new_app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]

buckets_app = new_app("Create the buckets of a deployment, and set how long they keep objects.")
app.add_typer(buckets_app, name="buckets", rich_help_panel=OPERATE)


@buckets_app.callback()
def _group() -> None:
    """Create the buckets of a deployment, and set how long they keep objects."""


@buckets_app.command("apply")
def buckets_apply(as_json: Json = False) -> None:
    """Create missing buckets and set lifecycle rules; deletes nothing.

    Rules of others in the same buckets stay as they are.
    """
    from shared.cli import buckets

    buckets.apply(as_json)
