"""JSON lines on stdout, each with service, trace and whatever is bound: job, stage, attempt. Users' paths stay out."""

import io
import json
import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.telemetry.scrubbing import MARK, scrubbed

SECRET_WORDS = ("password", "secret", "token", "credential", "authorization", "access_key", "owner")
"""A field whose name holds one of these is never written."""
IDENTIFIERS = frozenset(
    {"trace_id", "span_id", "job", "job_id", "request_id", "attempt", "stage", "service", "level", "timestamp", "topic"}
)
"""Fields that are ours and look like what is scrubbed."""
MAX_TEXT = 2000
MAX_DEPTH = 8


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    found = trace.get_current_span().get_span_context()
    if found.is_valid:
        # A caller that speaks for another thread's span has bound its ids.
        event.setdefault("trace_id", format(found.trace_id, "032x"))
        event.setdefault("span_id", format(found.span_id, "016x"))
    return event


def _private(name: str, value: object, depth: int = 0) -> object:
    """The value of a field as it may be written."""
    if any(word in name.lower() for word in SECRET_WORDS):
        return MARK
    if isinstance(value, str):
        return value if name in IDENTIFIERS else scrubbed(value, MAX_TEXT)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return MARK
    if isinstance(value, dict):
        return {str(key): _private(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_private("", item, depth + 1) for item in value]
    return scrubbed(str(value), MAX_TEXT)


def _scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    rendered = isinstance(event.get("exception"), list)
    return {n: value if n == "exception" and rendered else _private(n, value) for n, value in event.items()}


def _scrub_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Keep what a developer needs of an exception (class, file, line, function), and scrub what it says."""
    found = event.get("exception")
    for error in found if isinstance(found, list) else ():  # A line may have a field of that name: a text.
        error["exc_value"] = scrubbed(error["exc_value"])
        error["exc_notes"] = [scrubbed(note) for note in error.get("exc_notes", ())]
        for frame in error["frames"]:
            frame["filename"] = frame["filename"].rpartition("/")[2]
    return event


def _one_line(event: EventDict, **options: Any) -> str:
    """JSON in printable ASCII alone: what is logged reaches terminals, and of ASCII json leaves DEL as it is."""
    return json.dumps(event, **options).replace("\x7f", "\\u007f")


def _named(service: str) -> Processor:
    """Says whose line it is; not by a context variable, which another thread's lines would lack."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _processors(service: str) -> list[Processor]:
    # Without local variables: those of a stage are the user's media and its settings are secrets.
    exceptions = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [
        structlog.contextvars.merge_contextvars,
        _named(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        exceptions,
        _scrub_exception,
        _scrub,
    ]


class _Lossy(io.TextIOBase):
    """A stream of which a line that can't be written is lost: on a full disk a log must not end what it reports on."""

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
    """Configure structlog, and the standard library's loggers from WARNING, for this process.

    Raises KeyError for a level that does not exist.
    """
    structlog.configure(
        processors=[*_processors(service), structlog.processors.JSONRenderer(_one_line)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lossy(sys.stdout))),
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
