"""The commands of the local stack: `lipstage up`, `down`, `status`, `logs`, `doctor`."""

from typing import Annotated

import typer

from shared.cli.app import STACK, app

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command(rich_help_panel=STACK)
def up(
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale",
            metavar="STAGE=N",
            help="Replicas of a stage or of the relay; projection=1: the job-state projection. Repeatable.",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="NAME",
            help="An engine beside those of LIPSTAGE_ENGINES; repeatable, kept by later calls.",
        ),
    ] = None,
    observability: Annotated[
        bool | None,
        typer.Option(
            "--observability/--no-observability",
            help="Also run Tempo, Prometheus and Grafana, those of them that are installed; kept by later calls.",
        ),
    ] = None,
    gateway: Annotated[
        bool | None,
        typer.Option(
            "--gateway/--no-gateway",
            help="Also run the gateway, HTTP for programs and a page for people, and webhooks; kept by later calls.",
        ),
    ] = None,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure/--no-secure",
            help="Broker and object store ask for credentials, and each service gets its own with the rights of"
            " `lipstage access`; kept by later calls.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the local stack, or restart what has failed.

    Returns once every part answers.
    """
    from shared.cli import stack

    raise typer.Exit(stack.up(scale or [], engine, observability, gateway, secure, as_json))


@app.command(rich_help_panel=STACK)
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also delete all data except downloads.")] = False,
) -> None:
    """Stop the local stack; data is kept."""
    from shared.cli import stack

    stack.down(purge)


@app.command(rich_help_panel=STACK)
def status(as_json: Json = False) -> None:
    """Show every part of the local stack."""
    from shared.cli import stack

    raise typer.Exit(stack.status(as_json))


@app.command(rich_help_panel=STACK)
def logs(
    service: Annotated[
        str | None, typer.Argument(help="Service or part, such as infer-puppet-0; omitted: list them.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines as they are written.")] = False,
) -> None:
    """Print the log of a part of the local stack."""
    from shared.cli import stack

    stack.logs(service, lines, follow)


@app.command(rich_help_panel=STACK)
def doctor(as_json: Json = False) -> None:
    """Check this machine and the stack."""
    from shared.cli import stack

    raise typer.Exit(stack.doctor(as_json))
