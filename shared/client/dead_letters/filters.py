"""Which dead letters a command is about."""

import re
from dataclasses import dataclass, fields

from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.states import ENDS, State
from shared.client.errors import InvalidRequest

NEW, REPLAYED, PARKED, DISCARDED = "new", "replayed", "parked", "discarded"
STATES = (NEW, REPLAYED, PARKED, DISCARDED)


@dataclass(frozen=True)
class DeadLetterFilter:
    """All given conditions must hold; of several values of one field, one must."""

    ids: tuple[tuple[int, int], ...] = ()
    """Partition and offset."""
    stages: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values of original headers or of ``__dlq.errors.*``."""
    exception: re.Pattern[str] | None = None
    """Is searched in the class and the stack of the exception and in the message."""
    since_ms: int = 0
    until_ms: int = 0
    """0: no end. Both are the broker's times of the dead letters, milliseconds since the epoch."""
    states: tuple[str, ...] = ()
    """``new``, ``parked``, ``discarded``, ``replayed`` or ``replayed:<how it ended>``."""

    def __post_init__(self) -> None:
        known = (*STATES, *(f"{REPLAYED}:{end}" for end in ENDS))
        for state in self.states:
            if state not in known:
                raise InvalidRequest(f"{state!r} is no state of a dead letter", f"one of {', '.join(known)}")

    def matches(self, dead: DeadLetter, topic_prefix: str) -> bool:
        """Whether all conditions but that of the state hold."""
        if self.until_ms and dead.timestamp_ms >= self.until_ms:
            return False
        for wanted, actual in (
            (self.stages, dead.stage),
            (self.codes, dead.code),
            (self.classes, dead.failure_class),
            (self.versions, dead.version),
        ):
            if wanted and actual not in wanted:
                return False
        if self.headers and not all(_has_header(dead, name, value) for name, value in self.headers):
            return False
        if self.exception is not None:
            texts = (dead.errors.get(name, "") for name in ("exception.class", "message", "exception.stacktrace"))
            if not any(self.exception.search(text) for text in texts):
                return False
        if self.tenants or self.jobs:
            identity = dead.identity(topic_prefix)
            if identity is None:
                return False
            if (self.tenants and identity.tenant not in self.tenants) or (
                self.jobs and identity.identity.job_id not in self.jobs
            ):
                return False
        return not self.departments or dead.request(topic_prefix).get("department") in self.departments

    def accepts(self, state: State) -> bool:
        """Whether a dead letter in this state is wanted."""
        return not self.states or state.name in self.states or str(state) in self.states

    def as_text(self) -> dict[str, str]:
        """The conditions that are set, for the audit record."""
        text: dict[str, str] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, re.Pattern):
                text[one.name] = value.pattern
            elif one.name == "ids":
                text |= {"ids": ", ".join(f"{p}:{o}" for p, o in value)} if value else {}
            elif one.name == "headers":
                text |= {"headers": ", ".join(f"{n}={v}" for n, v in value)} if value else {}
            elif value:
                text[one.name] = ", ".join(value) if isinstance(value, tuple) else str(value)
        return text


def _has_header(dead: DeadLetter, name: str, value: str) -> bool:
    wanted = value.encode()
    return any(n.lower() == name.lower() and v == wanted for n, v in dead.headers)
