"""The tree of exceptions, and how the command line ends on each."""

import inspect
import re

import pytest

from shared.cli import failures
from shared.cli.errors import CliError, ExitCode
from shared.client import errors
from shared.client.errors import ClientError

EXIT_CODES = {
    "InvalidRequest": ExitCode.REJECTED,
    "InvalidManifest": ExitCode.REJECTED,
    "InvalidQuery": ExitCode.REJECTED,
    "InputBucketMissing": ExitCode.REJECTED,
    "InvalidDeployment": ExitCode.REJECTED,
    "JobConflict": ExitCode.REJECTED,
    "JobNotFound": ExitCode.REJECTED,
    "DeadLetterNotFound": ExitCode.REJECTED,
    "JobEnded": ExitCode.REJECTED,
    "JobPurged": ExitCode.REJECTED,
    "TargetExists": ExitCode.REJECTED,
    "Unreachable": ExitCode.UNREACHABLE,
    "BrokerUnreachable": ExitCode.UNREACHABLE,
    "TopicMissing": ExitCode.UNREACHABLE,
    "StoreUnreachable": ExitCode.UNREACHABLE,
    "BucketUnusable": ExitCode.UNREACHABLE,
    "TracesUnreachable": ExitCode.UNREACHABLE,
}
"""The others end a command with FAILED."""
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ClientError)]


def drawn() -> dict[str, str | None]:
    """Parent by class, as the module's docstring draws them."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│ ├└─]*)(\w+)( |$)", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {kind.__name__: kind.__base__.__name__ for kind in CLASSES if kind.__base__ is not None}
    assert drawn() == real | {"ClientError": None}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_ends_a_command_with_its_message_and_exit_code(kind: type[ClientError]) -> None:
    failure = failures.explained(kind("what is wrong"))
    assert failure is not None
    assert failure.message == "what is wrong"
    assert failure.exit_code == EXIT_CODES.get(kind.__name__, ExitCode.FAILED)


def test_an_errors_own_hint_and_details_are_kept() -> None:
    failure = failures.explained(errors.InvalidManifest("a", "hint", ["line 1: b"]))
    assert failure is not None
    assert (failure.hint, failure.details, str(failure)) == ("hint", ("line 1: b",), "a\nline 1: b")


def test_a_fault_of_the_program_is_not_explained() -> None:
    assert failures.explained(RuntimeError("a")) is None
    assert failures.explained(ValueError("a")) is None
    assert not issubclass(CliError, ClientError)
