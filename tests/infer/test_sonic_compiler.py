"""What compilation of the sonic engine needs on a machine, without torch."""

import sysconfig
from pathlib import Path

import pytest

from stages.infer.sonic import compiler


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder of programs, empty. Python's headers are there."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "include"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


def make(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_compiler_that_triton_finds_suffices(programs: Path, name: str) -> None:
    assert compiler.missing() == "a C compiler: gcc, clang or one that CC names"
    make(programs / name)
    assert compiler.missing() is None


def test_compiler_of_the_variable_must_exist(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(programs / "gcc")
    monkeypatch.setenv("CC", "mine")
    assert compiler.missing() == "a C compiler, and CC=mine is none"
    make(programs / "mine")
    assert compiler.missing() is None


def test_headers_of_python_are_needed(programs: Path) -> None:
    make(programs / "gcc")
    (programs / "include" / "Python.h").unlink()
    assert compiler.missing() == "the headers of Python (Python.h; Debian: python3-dev)"
