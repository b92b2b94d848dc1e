"""Entry point of ``lipstage``. Importing a command module registers its commands; none imports anything slow."""

import os
import signal
import sys

import typer

from shared import __version__
from shared.cli import console, strays
from shared.cli.app import app
from shared.cli.commands import (
    access,
    audit,
    buckets,
    config,
    demo,
    dlq,
    erase,
    evaluate,
    jobs,
    keys,
    quota,
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
COMMANDS = (
    *(demo, render, submit, stack, jobs, erase, stage, topics, buckets, access, keys),
    *(trace, audit, quota, dlq, config, evaluate, weights),
)


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


def _end_on_sigterm() -> None:
    """As the first process of a container, where the kernel ignores a SIGTERM that has no handler."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 rejected or bad use, 3 not reachable, 130 interrupted."""
    strays.redirect()
    _end_on_sigterm()
    try:
        app(prog_name="lipstage")
    finally:
        strays.redirect()  # typer has replaced the hook that prints what escapes it.


if __name__ == "__main__":
    main()
