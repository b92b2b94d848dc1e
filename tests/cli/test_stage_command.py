"""`lipstage stage infer --engine sonic`, called from the environment without torch."""

import os
from pathlib import Path

import pytest

from shared.cli import operation
from shared.cli.errors import CliError


class Became(BaseException):
    pass


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment's Python, and a process that only says what it would have become."""

    def execve(path: str, argv: list[str], environment: dict[str, str]) -> None:
        raise Became(path, argv, environment["PYTHONPATH"])

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(operation, "locate", lambda: None)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(python))
    return python


def test_it_goes_on_in_the_engines_environment(made: Path) -> None:
    with pytest.raises(Became) as became:
        operation.stage("infer", "sonic")
    path, argv, modules = became.value.args
    assert (path, argv[0]) == (made, str(made))
    assert argv[1:] == ["-m", "shared.cli.main", "stage", "infer", "--engine", "sonic"]
    assert (Path(modules.split(os.pathsep)[0]) / "shared" / "cli").is_dir()


def test_without_that_environment_it_says_how_to_make_it(made: Path) -> None:
    made.unlink()
    with pytest.raises(CliError, match="TORCH_MISSING"):
        operation.stage("infer", "sonic")
