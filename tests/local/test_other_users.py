"""`up` without credentials names the other people of the machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.local import other_users
from shared.local.stack_file import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(state_dir=tmp_path, sockets=tmp_path)


def test_warning_names_who_is_there_and_what_they_reach(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_users, "present", lambda: ["ada", "bob", "cyd", "dan"])
    (line,) = other_users.exposure(stack)
    assert "ada, bob, cyd and 1 more use it too: the broker takes any record; the object store's" in line
    assert "up --secure" in line


def test_no_warning_where_nothing_is_open(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_users, "present", lambda: ["ada"])
    assert other_users.exposure(stack.model_copy(update={"secure": True})) == []
    assert other_users.exposure(stack.model_copy(update={"own_broker": True, "own_store": True})) == []
    monkeypatch.setattr(other_users, "present", list)
    assert other_users.exposure(stack) == []


def test_own_processes_are_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_users, "PEOPLE", range(os.getuid(), os.getuid() + 1))
    assert other_users.present() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_process_of_another_account_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_users, "PEOPLE", range(65534, 65535))
    script = "import os, sys; os.setuid(65534); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        until = time.monotonic() + 10
        while not (found := other_users.present()) and time.monotonic() < until:
            pass
        other.communicate()
    assert found == ["nobody"]
