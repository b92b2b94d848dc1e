"""`lipstage stage` replaces itself by the program that a container runs."""

import os
import sys
from pathlib import Path

import pytest

from shared.cli import environment, stage
from shared.cli.errors import BadUse, CliError, Unreachable
from tests.conftest import Infrastructure

LOCATED = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PYTHONPATH": "elsewhere"}


class Replaced(BaseException):
    """In place of ``os.execve``: its arguments."""

    @property
    def argv(self) -> list[str]:
        return list(self.args[1])

    @property
    def variables(self) -> dict[str, str]:
        return dict(self.args[2])


@pytest.fixture(autouse=True)
def no_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(path: str, argv: list[str], variables: dict[str, str]) -> None:
        raise Replaced(path, argv, variables)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv("LIPSTAGE_ENGINE", raising=False)


@pytest.fixture
def located(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "of_deployment", lambda: dict(LOCATED))


@pytest.fixture
def sonic_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(python))
    return python


def replaced(name: str, engine: str | None = None) -> Replaced:
    with pytest.raises(Replaced) as caught:
        stage.run(name, engine)
    return caught.value


def test_stage_runs_the_runtime_with_the_located_environment(located: None) -> None:
    before = dict(os.environ)
    program = replaced("audio")
    assert program.argv == [sys.executable, "-P", "-m", "shared.runtime", "audio"]
    assert program.variables["KAFKA_BOOTSTRAP_SERVERS"] == LOCATED["KAFKA_BOOTSTRAP_SERVERS"]
    checkout, rest = program.variables["PYTHONPATH"].split(os.pathsep)
    assert (Path(checkout, "shared", "runtime").is_dir(), rest) == (True, "elsewhere")
    assert dict(os.environ) == before


def test_the_relay_runs_as_a_stage_without_an_engine(located: None) -> None:
    assert replaced("relay").argv == [sys.executable, "-P", "-m", "shared.runtime", "relay"]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("projection", "stages.gateway.projection"),
        ("gateway", "stages.gateway"),
        ("webhooks", "stages.gateway.webhooks"),
    ],
)
def test_service_that_is_no_stage_runs_its_own_program(located: None, name: str, module: str) -> None:
    assert replaced(name).argv == [sys.executable, "-P", "-m", module]


def test_engine_with_its_own_python_runs_there(located: None, sonic_python: Path) -> None:
    program = replaced("infer", "sonic")
    assert program.argv == [str(sonic_python), "-P", "-m", "shared.runtime", "infer", "--engine", "sonic"]


def test_engine_of_the_environment_is_used_without_option(
    located: None, sonic_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_ENGINE", "sonic")
    assert replaced("infer").argv[0] == str(sonic_python)
    assert replaced("audio").argv[0] == sys.executable


def test_missing_python_of_an_engine_is_reported(located: None, sonic_python: Path) -> None:
    sonic_python.unlink()
    with pytest.raises(CliError, match="TORCH_MISSING"):
        stage.run("infer", "sonic")


@pytest.mark.parametrize(
    ("name", "engine", "message"),
    [
        ("video", None, "no stage 'video'"),
        ("relay", "puppet", "relay serves every engine"),
        ("audio", "puppet", "audio serves every engine"),
        ("infer", "nobody", "no engine 'nobody'"),
    ],
)
def test_unknown_services_are_bad_use(located: None, name: str, engine: str | None, message: str) -> None:
    with pytest.raises(BadUse, match=message):
        stage.run(name, engine)


def test_stage_without_any_deployment_is_unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unreachable, match="no stack is running"):
        stage.run("audio", None)


def test_running_stack_completes_the_environment(stack: Infrastructure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-another-store")
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    variables = replaced("audio").variables
    assert variables["KAFKA_BOOTSTRAP_SERVERS"] == stack.bootstrap_servers
    assert variables["AWS_ACCESS_KEY_ID"] == stack.environment["AWS_ACCESS_KEY_ID"]
    assert "AWS_PROFILE" not in variables, "it would take precedence over the local key pair"
    assert "AWS_PROFILE" in os.environ
