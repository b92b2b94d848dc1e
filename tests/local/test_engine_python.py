import importlib.util
import sys
from pathlib import Path

import pytest

from shared.local import engine_python as module
from shared.local.engine_python import engine_python
from shared.local.errors import StackCode, StackError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, no environment and no torch, independent of this machine."""
    monkeypatch.delenv("LIPSTAGE_SONIC_PYTHON", raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def python_at(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_puppet_runs_on_this_python() -> None:
    assert engine_python("puppet") == Path(sys.executable)


def test_sonic_prefers_named_python_then_its_environment_then_one_with_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "torch" else None)
    assert engine_python("sonic") == Path(sys.executable)
    made = python_at(tmp_path / ".venv-sonic" / "bin" / "python")
    assert engine_python("sonic") == made
    named = python_at(tmp_path / "own" / "python")
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(named))
    assert engine_python("sonic") == named


def test_missing_torch_is_reported_with_the_setup_command() -> None:
    with pytest.raises(StackError, match="make setup-sonic") as refused:
        engine_python("sonic")
    assert refused.value.code is StackCode.TORCH_MISSING


def test_missing_named_python_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python_at(tmp_path / ".venv-sonic" / "bin" / "python")
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(tmp_path / "nothing"))
    with pytest.raises(StackError, match="LIPSTAGE_SONIC_PYTHON") as refused:
        engine_python("sonic")
    assert refused.value.code is StackCode.TORCH_MISSING
