"""The options that choose dead letters, as a filter of the client library."""

import difflib
import getpass
import re
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared.cli import moments
from shared.cli.errors import BadUse
from shared.client import DeadLetterFilter
from shared.client.dead_letters.dead_letter import parse_id
from shared.messages.codes import Code
from shared.messages.pipeline import FAILING
from shared.runtime.failure_classes import CLASSES


def parse(given: Mapping[str, Any]) -> DeadLetterFilter:
    """The filter; ``given`` holds the options that are set. Raises BadUse, InvalidRequest."""
    now = datetime.now().astimezone()
    try:
        exception = re.compile(given["exception"]) if "exception" in given else None
    except re.error as e:
        raise BadUse(f"--exception {given['exception']!r} is no regular expression: {e}") from None
    return DeadLetterFilter(
        ids=tuple(parse_id(text) for text in given.get("ids", ())),
        stages=_known("--stage", (stage.lower() for stage in given.get("stage", ())), FAILING),
        codes=_known("--code", (code.upper() for code in given.get("code", ())), Code),
        classes=_known("--class", (name.lower() for name in given.get("failure_class", ())), CLASSES),
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


def _known(option: str, words: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """The words. Raises BadUse for one that no dead letter of this version has: it would quietly choose none."""
    chosen, possible = tuple(words), tuple(map(str, known))
    for word in chosen:
        if word not in possible:
            near = difflib.get_close_matches(word, possible, n=1)
            raise BadUse(
                f"{option} {word!r} is not known to this version",
                f"did you mean {near[0]}?" if near else f"one of {', '.join(possible)}",
            )
    return chosen


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
