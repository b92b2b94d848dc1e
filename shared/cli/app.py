"""The application that every command registers with: errors become one line and an exit code."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from shared.cli import console, environment
from shared.cli.errors import CliError, ExitCode

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


ORDER = (
    *("demo", "render", "submit", "up", "down", "status", "logs", "doctor"),
    *("watch", "jobs", "job", "cancel", "fetch", "purge"),
    *("stage", "topics", "trace", "eval", "weights", "config"),
)
"""Commands as the help lists them: what a newcomer wants comes first."""


class Group(TyperGroup):
    """Turns a CliError from any command, and a variable that can't be read, into a message and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as e:
            console.error(e.message, e.hint)
            raise typer.Exit(int(e.exit_code)) from None
        except ValueError as e:
            if not (lines := environment.faults(e)):
                raise
            console.error("\n".join(lines), environment.HINT)
            raise typer.Exit(int(ExitCode.REJECTED)) from None


def new_app(help_text: str | None = None) -> typer.Typer:
    """An application, or a group of sub-commands, with our manners."""
    return typer.Typer(
        help=help_text,
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Boxes are for people; a pipe or a file gets plain lines.
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings=HELP_OPTIONS,
    )


app = new_app("One portrait and one speech recording become a talking-head mp4.")

RENDER, STACK, JOBS, OPERATE = "Render", "Local stack", "Jobs", "Operation"
"""Panels of the help."""
