"""The reason for a failed start, in one line, from the log of a program: JSON of a service, or text."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_REASON = 300
"""Characters of a reason."""
ERROR_LEVELS = frozenset({"error", "critical"})
MESSAGES = ("reason", "error", "message", "text", "code")
"""Fields of a log line that explain its event, the best first."""
_ERROR_TEXT = re.compile(r"\b(error|fatal|exception|failed|traceback|cannot|could not)\b", re.IGNORECASE)


def failure_reason(lines: Iterable[str]) -> str | None:
    """What the last line about an error says, else the last line of text; None when there is neither.

    A line of JSON is an error by its level, not by its words, and is never shown as JSON.
    """
    reason = last = None
    for line in filter(str.strip, lines):
        fields = _fields(line)
        if fields is None:
            last = line.strip()[:MAX_REASON]
            reason = last if _ERROR_TEXT.search(line) else reason
        elif str(fields.get("level")) in ERROR_LEVELS:
            reason = _explained(fields)[:MAX_REASON]
    return reason or last


def _fields(line: str) -> Mapping[str, Any] | None:
    """The fields of a line of JSON, none for one that is cut; None for text."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _explained(fields: Mapping[str, Any]) -> str:
    event, exception = _one_line(fields.get("event")), fields.get("exception")
    raised = exception[0] if isinstance(exception, list) and exception else None
    if isinstance(raised, dict):
        text = f"{_one_line(raised.get('exc_type'))}: {_one_line(raised.get('exc_value'))}".removesuffix(": ")
        return text if event == "crashed" else f"{event}: {text}"
    messages = [_one_line(fields[name]) for name in MESSAGES if isinstance(fields.get(name), str)]
    if event == "wrong_use" and messages:
        return messages[0]
    return ": ".join([event, *messages])


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
