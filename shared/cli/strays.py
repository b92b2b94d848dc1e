"""What would reach the terminal past the console: tracebacks, warnings, and what libraries log."""

import logging
import sys
import threading
import traceback
from types import TracebackType

from shared.cli import console


class _Notes(logging.Handler):
    """What a library logs, as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # A line that its own arguments do not fit ends no command.
            text = str(record.msg)
        console.note(f"{record.name}: {text}")
        if record.exc_info and record.exc_info[0] is not None:
            _uncaught(*record.exc_info)


def _uncaught(kind: type[BaseException], value: BaseException | None, where: TracebackType | None) -> None:
    """A traceback. An error's text may have lines of its own: no line begins as one of ours would."""
    for line in "".join(traceback.format_exception(kind, value, where)).rstrip("\n").split("\n"):
        console.note(f"| {line}")


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread is not None else "a thread"
        console.note(f"exception in {name}:")
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    """What an object raised when it was cleared away."""
    console.note(f"exception ignored in {args.object!r}:")
    _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def gather() -> None:
    """Have all of it pass the console; before any command runs. A service that is begun sets up logs of its own."""
    # typer puts its own hook there, which calls the one that it found when it was imported: that one prints raw.
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.basicConfig(level=logging.WARNING, handlers=[_Notes()])
    logging.captureWarnings(True)
