"""Sends tracebacks, warnings and log records of libraries through the console: they would reach the terminal raw."""

import logging
import sys
import threading
import traceback
from types import TracebackType

from shared.cli import console


class _Notes(logging.Handler):
    """Prints log records of libraries as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # A record whose arguments do not fit its text must not end a command.
            text = str(record.msg)
        console.note(f"{record.name}: {text}")
        if record.exc_info and record.exc_info[0] is not None:
            _uncaught(*record.exc_info)


def _uncaught(kind: type[BaseException], value: BaseException | None, where: TracebackType | None) -> None:
    """Print a traceback. Every line begins with a bar: an error's text may have lines that look like ours."""
    for line in "".join(traceback.format_exception(kind, value, where)).rstrip("\n").split("\n"):
        console.note(f"| {line}")


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else "a thread"
        console.note(f"exception in {name}:")
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    """Print what an object raised while it was finalised."""
    console.note(f"exception ignored in {args.object!r}:")
    _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def redirect() -> None:
    """Install the hooks, before any command runs. A service that is started configures its own logging."""
    # typer installs its own hook, which calls the one that it found at import: that one prints raw.
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.basicConfig(level=logging.WARNING, handlers=[_Notes()])
    logging.captureWarnings(True)
