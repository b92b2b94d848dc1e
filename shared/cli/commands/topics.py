"""The commands `lipstage topics apply`, `create` and `diff`."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app, new_app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]

topics_app = new_app("Compare topics with the broker, or change them.")
app.add_typer(topics_app, name="topics", rich_help_panel=OPERATE)


@topics_app.command("apply")
def topics_apply(as_json: Json = False) -> None:
    """Create, grow and configure topics; deletes nothing.

    Consumer groups that have no offset get the earliest one.
    """
    from shared.cli import topics

    topics.apply(as_json)


@topics_app.command("create")
def topics_create(
    tenant: Annotated[list[str], typer.Option("--tenant", help="The tenant; several times for several.")],
    as_json: Json = False,
) -> None:
    """Create the topics of a tenant: requests, cancel commands and events.

    Only with LIPSTAGE_TENANCY=topic; running services find them by themselves.
    """
    from shared.cli import topics

    topics.create(tenant, as_json)


@topics_app.command("diff")
def topics_diff(as_json: Json = False) -> None:
    """Show what apply would change; exit code 1 for any difference."""
    from shared.cli import topics

    raise typer.Exit(topics.diff(as_json))
