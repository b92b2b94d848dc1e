import importlib.util
import sys
from pathlib import Path

import pytest

from shared.local import engine_python as module
from shared.local.engine_python import engine_python
from shared.local.errors import StackCode, StackError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a setting nor an environment nor torch, whatever this machine has."""
    monkeypatch.delenv("LIPSTAGE_SONIC_PYTHON", raising=False)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def python_at(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_puppet_needs_no_other_python() -> None:
    assert engine_python("puppet") == Path(sys.executable)


def test_sonic_takes_the_named_python_then_its_environment_then_one_with_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "torch" else None)
    assert engine_python("sonic") == Path(sys.executable)
    made = python_at(tmp_path / ".venv-sonic" / "bin" / "python")
    assert engine_python("sonic") == made
    named = python_at(tmp_path / "own" / "python")
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(named))
    assert engine_python("sonic") == named


def test_without_torch_the_message_says_what_makes_it() -> None:
    with pytest.raises(StackError, match="make setup-sonic") as refused:
        engine_python("sonic")
    assert refused.value.code is StackCode.TORCH_MISSING


def test_a_named_python_that_is_not_there_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python_at(tmp_path / ".venv-sonic" / "bin" / "python")
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(tmp_path / "nothing"))
    with pytest.raises(StackError, match="LIPSTAGE_SONIC_PYTHON") as refused:
        engine_python("sonic")
    assert refused.value.code is StackCode.TORCH_MISSING
