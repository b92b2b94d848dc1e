"""The log of a process: one JSON object a line on stdout, without personal data, also for warnings and crashes.

Lines have the service, trace ids and the bound fields (job, tenant, attempt).
"""

import io
import json
import logging
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.telemetry.policy import is_dropped, is_hash, is_hashed
from shared.telemetry.pseudonyms import is_pseudonym, pseudonym
from shared.telemetry.scrubbing import MARK, scrubbed
from shared.telemetry.stderr_lines import StderrLines

SECRET_WORDS = ("password", "secret", "token", "credential", "authorization", "access_key", "owner")
"""A field whose name contains one of these is never written."""
IDENTIFIERS = frozenset(
    {"trace_id", "span_id", "job", "job_id", "request_id", "attempt", "stage", "service", "level", "timestamp", "topic"}
)
"""Fields that are never scrubbed, although their values can look like secrets."""
MAX_TEXT = 2000
MAX_DEPTH = 8


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        # A caller that logs for the span of another thread has bound its ids. Those of a task are bound as well: lines
        # without a current span, as after an exception, have the span of the task, the others the current one.
        current = format(context.trace_id, "032x")
        if event.setdefault("trace_id", current) == current:
            event["span_id"] = format(context.span_id, "016x")
    return event


def _scrub_value(name: str, value: object, depth: int = 0) -> object:
    """The value of a field without secrets, paths and personal data: by the registry of span attributes, if it has a
    key of that name, then by the words in its name."""
    if is_hashed(name):
        return None if value is None else pseudonym(str(value))
    if is_hash(name):
        return value if value is None or is_pseudonym(str(value)) else MARK
    if is_dropped(name) or any(word in name.lower() for word in SECRET_WORDS):
        return MARK
    if isinstance(value, str):
        return value if name in IDENTIFIERS else scrubbed(value, MAX_TEXT)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return MARK
    if isinstance(value, dict):
        return {str(key): _scrub_value(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrub_value("", item, depth + 1) for item in value]
    return scrubbed(str(value), MAX_TEXT)


def _scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    rendered = isinstance(event.get("exception"), list)
    return {n: value if n == "exception" and rendered else _scrub_value(n, value) for n, value in event.items()}


def _scrub_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Keep class, file, line and function of an exception, and scrub its message."""
    rendered = event.get("exception")
    if isinstance(rendered, list):  # A line may have a text field of that name.
        _scrub_errors(rendered)
    return event


def _scrub_errors(errors: list[dict[str, Any]]) -> None:
    """Scrub an exception with its causes, and those in a group."""
    for error in errors:
        error["exc_value"] = scrubbed(error["exc_value"])
        error["exc_notes"] = [scrubbed(note) for note in error.get("exc_notes", ())]
        for frame in error["frames"]:
            frame["filename"] = frame["filename"].rpartition("/")[2]
        for inner in error.get("exceptions", ()):
            _scrub_errors(inner)


def _one_line(event: EventDict, **options: Any) -> str:
    """JSON in printable ASCII, because logs reach terminals; ``json`` escapes everything but DEL."""
    return json.dumps(event, **options).replace("\x7f", "\\u007f")


def _add_service(service: str) -> Processor:
    """Add the service; not as a context variable, because lines of other threads would not have it."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _processors(service: str) -> list[Processor]:
    # Without local variables: they can hold media of users, and settings with secrets.
    exceptions = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [
        structlog.contextvars.merge_contextvars,
        _add_service(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        exceptions,
        _scrub_exception,
        _scrub,
    ]


class _Lossy(io.TextIOBase):
    """A stream that drops a line that can't be written: on a full disk, logging must not end the work."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def setup(service: str, level: str = "INFO") -> None:
    """Configure structlog, and the loggers of the standard library from WARNING, for this process.

    Raises KeyError for a level that does not exist.
    """
    structlog.configure(
        processors=[*_processors(service), structlog.processors.JSONRenderer(_one_line)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # Line and line end in one write: the lines of librdkafka come from other threads, by another lock.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(sys.stdout))),
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_processors(service)],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(_one_line),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _log_strays()


def _log_strays() -> None:
    """Log what Python would write to stderr as text: warnings, exceptions that nothing catches, prints of libraries."""
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _thread_died
    sys.unraisablehook = _unraisable
    sys.stderr = cast("TextIO", StderrLines())


def _uncaught(kind: type[BaseException], error: BaseException, trace_back: TracebackType | None) -> None:
    structlog.get_logger().critical("crashed", exc_info=(kind, error, trace_back))


def _thread_died(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is SystemExit or failed.exc_value is None:
        return
    error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    name = failed.thread.name if failed.thread is not None else None
    structlog.get_logger().error("thread_crashed", thread=name, exc_info=error)


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    error = (failed.exc_type, failed.exc_value, failed.exc_traceback) if failed.exc_value is not None else None
    structlog.get_logger().error("exception_ignored", text=failed.err_msg, exc_info=error)
