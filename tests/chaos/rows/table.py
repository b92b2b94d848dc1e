"""A row of the table of faults: what is broken, and the function that does it on a rig."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.rig import Rig


@dataclass
class Outcome:
    """What a row saw itself, beside the checks of the history."""

    failures: list[str] = field(default_factory=list)
    """Expectations that did not hold."""
    figures: list[str] = field(default_factory=list)
    """Measured values for the report."""

    def expect(self, condition: object, otherwise: str) -> None:
        """Note a failure unless the condition holds."""
        if not condition:
            self.failures.append(otherwise)


class Skipped(Exception):
    """The row can't run here; the message is the reason."""


@dataclass(frozen=True)
class Row:
    """One row; numbers are those of the test matrix."""

    number: str
    fault: str
    run: Callable[[Rig, Outcome], None]
    short: bool = False
    """Whether it belongs to the short form, which `make test` runs."""
