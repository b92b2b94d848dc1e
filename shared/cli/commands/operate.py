"""stage, topics, config."""

from typing import Annotated

import typer

from shared.cli.app import OPERATE, app, new_app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]

topics_app = new_app("Compare topics with the broker, or make them so.")
app.add_typer(topics_app, name="topics", rich_help_panel=OPERATE)


@app.command(rich_help_panel=OPERATE)
def stage(
    name: Annotated[str, typer.Argument(help="audio, face, infer or encode.")],
    engine: Annotated[
        str | None, typer.Option("--engine", help="For infer: the engine it runs; default: LIPSTAGE_ENGINE.")
    ] = None,
) -> None:
    """Run one stage service in the foreground."""
    from shared.cli import operation

    raise typer.Exit(operation.stage(name, engine))


@topics_app.command("apply")
def topics_apply(as_json: Json = False) -> None:
    """Create, grow and configure topics; deletes nothing."""
    from shared.cli import operation

    operation.topics_apply(as_json)


@topics_app.command("diff")
def topics_diff(as_json: Json = False) -> None:
    """Show what apply would change; exits 1 when there is anything."""
    from shared.cli import operation

    raise typer.Exit(operation.topics_diff(as_json))


@app.command(rich_help_panel=OPERATE)
def config(
    as_json: Json = False,
    env: Annotated[
        bool, typer.Option("--env", help="Shell exports that lead any client to the stack; prints secrets.")
    ] = False,
) -> None:
    """Show the settings in force, secrets hidden."""
    from shared.cli import configuration

    if env:
        configuration.print_exports()
    else:
        configuration.show(as_json)
