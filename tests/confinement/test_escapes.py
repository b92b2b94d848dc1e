"""Every attempt to escape from a worker process fails; without confinement the same attempt succeeds."""

import os
from pathlib import Path

import pytest

from tests.confinement.attempts import ATTEMPTS, Attempt, connect_tcp, leave_daemon, read_other_slot, read_secret
from tests.confinement.conftest import CANARY, Escaping

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
FROM_THREADS = [a for a in ATTEMPTS if a.run in (read_secret, read_other_slot, connect_tcp, leave_daemon)]


def number(attempt: Attempt) -> str:
    return str(ATTEMPTS.index(attempt))


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda a: a.title)
def test_attempt_is_denied(confined: Escaping, attempt: Attempt) -> None:
    found = confined.ask(do=number(attempt)).metadata
    assert found["evidence"] == ""
    assert str(found["denied"]).startswith(("PermissionError", "OSError: [Errno 38]")), found


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda a: a.title)
def test_attempt_succeeds_without_confinement(unconfined: Escaping, attempt: Attempt) -> None:
    if attempt.traces and os.geteuid() != 0 and YAMA.exists() and YAMA.read_text().strip() != "0":
        pytest.skip("this machine lets only root trace processes")
    found = unconfined.ask(do=number(attempt)).metadata
    assert (found["evidence"] != "", found["denied"]) == (True, "")


@pytest.mark.parametrize("where", ["older", "new", "native"])
@pytest.mark.parametrize("attempt", FROM_THREADS, ids=lambda a: a.title)
def test_attempt_from_another_thread_is_denied(confined: Escaping, attempt: Attempt, where: str) -> None:
    """A thread that ran before the system calls were restricted, one of Python, and one as media libraries make."""
    found = confined.ask(do=number(attempt), where=where).metadata
    assert found["evidence"] == ""
    assert str(found["denied"]).startswith("PermissionError"), found


def test_every_thread_is_restricted_those_of_libraries_too(confined: Escaping, unconfined: Escaping) -> None:
    details = confined.ask(do="describe").metadata["details"]
    assert isinstance(details, dict)
    assert int(str(details["threads"])) > 4, "the pools of OpenCV and ONNX Runtime, and the handler's thread"
    assert details["states"] == "[('2', '1')]"
    free = unconfined.ask(do="describe").metadata["details"]
    assert isinstance(free, dict)
    assert "('0', '0')" in str(free["states"])


def test_limit_of_cpu_time_may_be_set_for_a_part_of_a_task(confined: Escaping) -> None:
    details = confined.ask(do="describe").metadata["details"]
    assert isinstance(details, dict)
    assert details["cpu_limit"] == "1000"


def test_worker_inherits_its_pipe_and_no_other_descriptor(confined: Escaping) -> None:
    details = confined.ask(do="describe").metadata["details"]
    assert isinstance(details, dict)
    assert sorted(set(str(details["descriptors"]).split())) == ["/dev/null", "pipe", "socket"]
    assert str(details["descriptors"]).split().count("socket") == 1


def test_environment_has_the_settings_of_the_stage_and_no_token(confined: Escaping) -> None:
    details = confined.ask(do="describe").metadata["details"]
    assert isinstance(details, dict)
    names = str(details["environment"]).split()
    assert "LIPSTAGE_MAX_SPEECH_S" in names
    assert {"CI_JOB_TOKEN", "AWS_SECRET_ACCESS_KEY", "LIPSTAGE_BUCKET"}.isdisjoint(names)
    assert [name for name in names if os.environ.get(name) == CANARY] == []
    assert confined.process.folder is not None
    assert details["temporary"] == str(confined.process.folder.work)
