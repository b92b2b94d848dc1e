"""up, down, status, logs, doctor: the local stack."""

from typing import Annotated

import typer

from shared.cli.app import STACK, app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command(rich_help_panel=STACK)
def up(
    scale: Annotated[
        list[str] | None, typer.Option("--scale", metavar="STAGE=N", help="Replicas of a stage; repeatable.")
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine", metavar="NAME", help="An engine to run beside those of LIPSTAGE_ENGINES; repeatable, kept."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the local stack, or mend it.

    Returns once every part answers.
    """
    from shared.cli import local_stack

    raise typer.Exit(local_stack.up(scale or [], engine, as_json))


@app.command(rich_help_panel=STACK)
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also delete all data; downloads stay.")] = False,
) -> None:
    """Stop the local stack; data stays."""
    from shared.cli import local_stack

    local_stack.down(purge)


@app.command(rich_help_panel=STACK)
def status(as_json: Json = False) -> None:
    """Show every part of the local stack."""
    from shared.cli import local_stack

    raise typer.Exit(local_stack.status(as_json))


@app.command(rich_help_panel=STACK)
def logs(
    service: Annotated[str | None, typer.Argument(help="Service or part, as infer-puppet-0; none: list them.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines from the end.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
) -> None:
    """Print the log of a part of the local stack."""
    from shared.cli import local_stack

    local_stack.logs(service, lines, follow)


@app.command(rich_help_panel=STACK)
def doctor(as_json: Json = False) -> None:
    """Check this machine and the stack."""
    from shared.cli import local_stack

    raise typer.Exit(local_stack.doctor(as_json))
