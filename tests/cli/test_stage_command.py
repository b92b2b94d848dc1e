"""`lipstage stage infer --engine sonic`, called from the environment without torch."""

import os
from pathlib import Path

import pytest

from shared.cli import operation
from shared.cli.errors import BadUse, CliError


class Became(BaseException):
    pass


def serving(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What services were asked for, in place of running them."""
    served: list[tuple[object, ...]] = []
    monkeypatch.setattr("shared.runtime.service.serve", lambda *asked: served.append(asked))
    return served


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment's Python, and a process that only says what it would have become."""

    def execve(path: str, argv: list[str], environment: dict[str, str]) -> None:
        raise Became(path, argv, environment)

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
    path, argv, environment = became.value.args
    assert (path, argv[0]) == (made, str(made))
    assert argv[1:] == ["-m", "shared.cli.main", "stage", "infer", "--engine", "sonic"]
    assert (Path(environment["PYTHONPATH"].split(os.pathsep)[0]) / "shared" / "cli").is_dir()


def test_an_engine_that_only_the_environment_names_is_served_the_same(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_ENGINE", "sonic")
    with pytest.raises(Became) as became:
        operation.stage("infer", None)
    assert became.value.args[1][1:] == ["-m", "shared.cli.main", "stage", "infer", "--engine", "sonic"]

    monkeypatch.setenv(operation.BECAME, str(made))
    served = serving(monkeypatch)
    operation.stage("infer", None)
    operation.stage("audio", None)
    (infer, audio) = served
    assert infer[:2] == ("infer", "sonic")
    assert infer[2] is not None, "its weights are fetched"
    assert audio == ("audio", None, None)
    monkeypatch.setenv("LIPSTAGE_ENGINE", "nobody")
    with pytest.raises(BadUse, match="nobody"):
        operation.stage("infer", None)


def test_a_script_in_the_place_of_python_is_started_once(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyenv's: the Python that it starts lies in another folder than the script."""
    with pytest.raises(Became) as became:
        operation.stage("infer", "sonic")
    served = serving(monkeypatch)
    with monkeypatch.context() as within:
        for name, value in became.value.args[2].items():
            within.setenv(name, value)
        operation.stage("infer", "sonic")
        assert [engine for _, engine, _ in served] == ["sonic"]
        assert operation.BECAME not in os.environ, "what it starts itself may change over again"


def test_without_that_environment_it_says_how_to_make_it(made: Path) -> None:
    made.unlink()
    with pytest.raises(CliError, match="TORCH_MISSING"):
        operation.stage("infer", "sonic")
