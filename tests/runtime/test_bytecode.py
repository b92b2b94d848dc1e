"""A service compiles its stage's modules, which its confined workers could not keep."""

import sys
from pathlib import Path

import pytest

from shared.runtime.execute.bytecode import compile_stage


def test_modules_of_the_stage_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    compile_stage.__wrapped__("stages.encode.handler")
    assert list(tmp_path.rglob("*.pyc")) == [], "not where bytecode is not wanted"
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    compile_stage.__wrapped__("stages.encode.handler")
    compile_stage.__wrapped__("tests.runtime.trial_handler")
    names = {path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")}
    assert {"handler", "mp4", "poster"} <= names
    assert "trial_handler" not in names
