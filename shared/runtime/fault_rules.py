"""The rules of LIPSTAGE_FAULTS: their grammar is that of `fault_injection`."""

import builtins
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.messages.pipeline import STAGES
from shared.runtime import failures
from shared.storage import errors

POINTS = ("read", "work", "put", "after_put", "after_publish", "settle")
EARLY = "early"
"""Beside them: an attempt begins to work before its task is there. Not every record passes it."""
PROCESS_ACTIONS = ("kill", "kill-worker", "stop", "exit")
ACTIONS = (*PROCESS_ACTIONS, "raise", "delay")
RELAY = "relay"

_RULE = re.compile(
    r"(?P<stage>[a-z*]+)\.(?P<point>[a-z_]+)=(?P<action>[a-z-]+)(=(?P<argument>[^@#,]+))?"
    r"(@(?P<probability>[0-9.]+)|#(?P<count>[0-9]+))?(?P<options>(,[a-z]+=[^,]+)*)"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault: where it is injected, what it does and how often."""

    stage: str
    """Name of a stage, or ``*``."""
    point: str
    action: str
    seconds: float = 0.0
    """Delay of the action, or the duration of ``delay``."""
    exception: Callable[[str], Exception] | None = None
    probability: float = 1.0
    count: int | None = None
    """Largest number of times in one process; None for every time."""
    job: str = "*"
    """Pattern of job ids, as of a shell."""
    once: Path | None = None
    """A file that the first process creates that carries out the rule; then no other does."""


def parse(text: str) -> tuple[Rule, ...]:
    """The rules of LIPSTAGE_FAULTS. Raises ValueError with the rule that can't be used and the reason."""
    return tuple(_rule(part.strip()) for part in text.split(";") if part.strip())


def _rule(text: str) -> Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no fault: use STAGE.POINT=ACTION[@P|#N][,job=GLOB][,once=FILE]")
    stage, point, action, argument = match["stage"], match["point"], match["action"], match["argument"]
    _among(text, "stage", stage, ("*", *STAGES, RELAY))
    _among(text, "point", point, (*POINTS, EARLY))
    _among(text, "action", action, ACTIONS)
    if argument is None and action not in PROCESS_ACTIONS:
        raise ValueError(f"{text!r}: write {action}={'EXCEPTION' if action == 'raise' else 'SECONDS'}")
    options = dict(option.split("=", 1) for option in match["options"].split(",") if option)
    for name in options:
        _among(text, "option", name, ("job", "once"))
    probability = _number(text, match["probability"] or "1")
    if not 0 <= probability <= 1:
        raise ValueError(f"{text!r}: a probability is 0 to 1")
    return Rule(
        stage,
        point,
        action,
        seconds=_number(text, argument) if argument is not None and action != "raise" else 0.0,
        exception=_exception(text, argument) if argument is not None and action == "raise" else None,
        probability=probability,
        count=int(match["count"]) if match["count"] else None,
        job=options.get("job", "*"),
        once=Path(options["once"]) if "once" in options else None,
    )


def _among(text: str, what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ValueError(f"{text!r}: there is no {what} {name!r}; use {', '.join(names)}")


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{text!r}: {value!r} is no number") from None


def _exception(text: str, name: str) -> Callable[[str], Exception]:
    """An exception class of Python, of the runtime's failures or of the object store's errors."""
    for module in (failures, errors, builtins):
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            try:
                found("a message")
            except TypeError:
                raise ValueError(f"{text!r}: {name} takes more than a message") from None
            return found
    raise ValueError(f"{text!r}: there is no exception {name!r}")
