"""The worked story of docs/operations.md, run as it stands: every fault of a bad day, and every job accounted for."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import Shell, blocks

SHORT = {"JOBS": "12", "AWAY": "25", "LIPSTAGE_RETRY_TIERS": "2s,5s,10s"}
"""Fewer jobs, and tiers of seconds; the object store is away for longer than a stage waits for it in the process."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "operator", limit_s=1500)
    try:
        yield shell
    finally:
        shell("lipstage down --purge")


def run(shell: Shell) -> str:
    """What the story prints."""
    return shell("\n".join(block for _, block in blocks("operations.md", "A bad day, from start to end")))


def check(shell: Shell, printed: str, jobs: int) -> None:
    assert "circuit breaker open" in printed
    states = [json.loads(line) for line in shell("lipstage jobs -n 100 --json").splitlines()]
    assert {job["job_id"]: job["status"] for job in states if job["status"] != "done"} == {"stray": "failed"}
    assert len(states) == jobs + 10 + 1
    found = [json.loads(line) for line in shell("lipstage dlq ls --json").splitlines()]
    assert {(one["code"], one["job_id"], one["state"], one.get("ended")) for one in found} == {
        ("CRASH_LOOP", "day-07", "replayed", "done"),
        ("POISON", "stray", "discarded", None),
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bad_day_loses_no_job(shell: Shell) -> None:
    shell.environment |= SHORT
    check(shell, run(shell), 12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bad_day_of_fifty_jobs_loses_no_job(shell: Shell) -> None:
    check(shell, run(shell), 50)
