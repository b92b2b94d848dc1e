"""The application that every command registers with. An error becomes one line and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from shared.cli import console, dashed_ids
from shared.cli.errors import CliError
from shared.cli.printable import clean

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


ORDER = (
    *("demo", "render", "submit", "up", "down", "status", "logs", "doctor"),
    *("watch", "jobs", "job", "cancel", "fetch", "erase"),
    *("stage", "topics", "buckets", "access", "keys", "trace", "traces", "audit", "quota", "dlq", "eval"),
    *("weights", "config"),
)
"""Order of the commands in the help: those that a newcomer needs come first."""


@contextmanager
def _clean_usage_errors() -> Iterator[None]:
    """Make typer's own errors printable: it prints wrong options and arguments itself, past the console."""
    try:
        yield
    except Exception as e:
        # Errors of whichever click typer depends on: only they have both. One of them is the help, a text of ours.
        message = getattr(e, "message", None)
        if hasattr(e, "format_message") and isinstance(message, str) and type(e).__name__ != "NoArgsIsHelpError":
            e.message = clean(message)  # type: ignore[attr-defined]
        raise


class Group(TyperGroup):
    """Turns a command's CliError or ClientError, and a variable that can't be read, into a message and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else dashed_ids.protect(command, ctx, rest)

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _clean_usage_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _clean_usage_errors():
                return super().invoke(ctx)
        except CliError as e:
            failure = e
        except typer.Exit:
            raise
        except Exception as e:
            if hasattr(e, "format_message"):
                raise  # typer's own: it prints them.
            from shared.cli import failures  # It imports the client library: too slow for a command that succeeds.

            if (explained := failures.explained(e)) is None:
                raise
            failure = explained
        console.error(failure.message, failure.hint, failure.details)
        raise typer.Exit(int(failure.exit_code))


def new_app(help_text: str | None = None, *, completion: bool = False) -> typer.Typer:
    """An application, or a group of sub-commands, that handles errors as ``Group`` does.

    ``completion`` adds the options that install and print shell completion.
    """
    return typer.Typer(
        help=help_text,
        cls=Group,
        no_args_is_help=True,
        add_completion=completion,
        pretty_exceptions_enable=False,
        # Boxes are for people; a pipe or a file gets plain lines.
        rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
        context_settings=HELP_OPTIONS,
    )


app = new_app("One portrait and one speech recording become a talking-head mp4.", completion=True)

RENDER, STACK, JOBS, OPERATE = "Render", "Local stack", "Jobs", "Operation"
"""Panels of the help."""
