"""The interpreters that `make test-pythons` runs on."""

from pathlib import Path

import pytest

from tools.pythons import candidates, usable


def interpreter(path: Path, answer: str, status: int = 0) -> Path:
    """A program that answers the probe like an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {answer} {path}\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_newest_of_each_minor_version_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    on_path = interpreter(tmp_path / "bin" / "python3.12", "3 12 1")
    versions = tmp_path / ".pyenv" / "versions"
    newer = interpreter(versions / "3.12.11" / "bin" / "python3.12", "3 12 11")
    other = interpreter(versions / "3.14.0" / "bin" / "python3.14", "3 14 0")
    interpreter(versions / "3.10.1" / "bin" / "python3.10", "3 10 1")
    paths = candidates(tmp_path, f"{tmp_path / 'bin'}:{tmp_path / 'absent'}")
    assert paths == [on_path, newer, other]
    assert usable(paths) == {12: newer, 14: other}


def test_shim_that_fails_is_skipped(tmp_path: Path) -> None:
    shim = interpreter(tmp_path / "python3.13", "3 13 0", status=127)
    mislabelled = interpreter(tmp_path / "python3.11", "3 10 9")
    assert usable([shim, mislabelled, tmp_path / "python3.14"]) == {}
