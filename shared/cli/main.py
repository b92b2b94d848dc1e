"""Entry point of ``lipstage``. Importing a command module registers its commands; none imports anything slow."""

import os

import typer

from shared import __version__
from shared.cli import console, strays
from shared.cli.app import app
from shared.cli.commands import (
    audit,
    config,
    demo,
    dlq,
    evaluate,
    jobs,
    render,
    stack,
    stage,
    submit,
    topics,
    trace,
    weights,
)
from shared.local import no_proxy
from shared.runtime.variable_names import to_upper_case

__all__ = ["app", "main"]
COMMANDS = (demo, render, submit, stack, jobs, stage, topics, trace, audit, dlq, config, evaluate, weights)


def _version(requested: bool) -> None:
    if requested:
        console.say(f"lipstage {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """One portrait and one speech recording become a talking-head mp4."""
    del version  # `_version` has handled it.
    to_upper_case(os.environ)
    no_proxy.apply(os.environ)


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 rejected or bad use, 3 not reachable, 130 interrupted."""
    strays.redirect()
    try:
        app(prog_name="lipstage")
    finally:
        strays.redirect()  # typer has replaced the hook that prints what escapes it.


if __name__ == "__main__":
    main()
