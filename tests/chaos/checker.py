"""All checks by name, and their result as a table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos import delivery_checks, job_checks
from tests.chaos.history import History

CHECKS: dict[str, Callable[[History], Iterator[str]]] = {
    "nothing lost": job_checks.nothing_lost,
    "one terminal state": job_checks.one_terminal_state,
    "one final artifact": job_checks.one_final_artifact,
    "nothing visible without its marker": job_checks.nothing_visible_without_marker,
    "attempts bounded": job_checks.attempts_bounded,
    "one trace": job_checks.one_trace,
    "nothing left behind": job_checks.nothing_left,
    "no early retry": delivery_checks.no_early_retry,
    "no commit ahead": delivery_checks.no_commit_ahead,
    "dead letters byte-identical": delivery_checks.dead_letters_identical,
    "dead letters end their job": delivery_checks.dead_letters_end_their_job,
    "headers constant": delivery_checks.headers_constant,
}
SHOWN = 3
"""Violations of one check that the report shows."""


@dataclass(frozen=True)
class Report:
    """The violations by check; a check without any has an empty list."""

    violations: dict[str, list[str]]

    @property
    def failed(self) -> list[str]:
        """Names of the checks with violations."""
        return [name for name, found in self.violations.items() if found]

    def lines(self) -> list[str]:
        """One line for each check, and the first violations."""
        result = []
        for name, found in self.violations.items():
            result.append(f"{name:36} {'ok' if not found else f'{len(found)} violations'}")
            result += [f"    {violation}" for violation in found[:SHOWN]]
        return result


def check(history: History) -> Report:
    """Run every check."""
    return Report({name: list(one(history)) for name, one in CHECKS.items()})
