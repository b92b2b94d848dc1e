"""The options that choose dead letters, as a filter of the client library."""

import getpass
import re
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.cli import moments
from shared.cli.errors import BadUse
from shared.client import DeadLetterFilter
from shared.client.dead_letters.dead_letter import parse_id


def parse(given: Mapping[str, Any]) -> DeadLetterFilter:
    """The filter; ``given`` holds the options that are set. Raises BadUse, InvalidRequest."""
    now = datetime.now().astimezone()
    try:
        exception = re.compile(given["exception"]) if "exception" in given else None
    except re.error as e:
        raise BadUse(f"--exception {given['exception']!r} is no regular expression: {e}") from None
    return DeadLetterFilter(
        ids=tuple(parse_id(text) for text in given.get("ids", ())),
        stages=tuple(stage.lower() for stage in given.get("stage", ())),
        codes=tuple(code.upper() for code in given.get("code", ())),
        classes=tuple(name.lower() for name in given.get("failure_class", ())),
        tenants=tuple(given.get("tenant", ())),
        departments=tuple(given.get("department", ())),
        versions=tuple(given.get("version", ())),
        jobs=tuple(given.get("job", ())),
        headers=tuple(_header(text) for text in given.get("header", ())),
        exception=exception,
        since_ms=_ms(given.get("since"), now, "--since"),
        until_ms=_ms(given.get("until"), now, "--until"),
        states=tuple(given.get("state", ())),
    )


def _ms(text: str | None, now: datetime, option: str) -> int:
    return 0 if text is None else int(moments.parse(text, now, option).timestamp() * 1000)


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise BadUse(f"--header {text!r} is not of the form name=value", "for example --header ce_source=/lipstage")
    return name, value


def operator() -> str:
    """The user of this machine, for audit records."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as in containers.
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
