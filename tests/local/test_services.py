"""The programs of the services: interpreter and environment, by engine."""

import os
import sys
from pathlib import Path

import pytest

from shared.local import services, stack_file
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSettings:
    monkeypatch.delenv("LIPSTAGE_ENGINES", raising=False)
    python = tmp_path / "python"
    python.touch()
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(python))
    return LocalSettings(state_dir=tmp_path, engines=("puppet", "sonic"))


def programs(settings: LocalSettings) -> dict[str, Program]:
    stack: Stack = stack_file.fresh(settings.state)
    stack.services = services.records(settings, stack, {})
    for record in stack.services:
        record.health_port = 9000  # The same in two runs of `up`.
    return {record.name: services.program(settings, stack, record) for record in stack.services}


def test_only_the_engine_with_its_own_environment_runs_there(settings: LocalSettings) -> None:
    found = programs(settings)
    pythons = {name: program.argv[0] for name, program in found.items()}
    assert pythons.pop("infer-sonic-0") == os.environ["LIPSTAGE_SONIC_PYTHON"]
    assert set(pythons.values()) == {sys.executable}
    assert found["infer-sonic-0"].argv[-2:] == ("--engine", "sonic")


def test_enabling_an_engine_restarts_only_the_first_stage(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service restarts when its program changes, and its running tasks with it."""
    before = programs(settings.model_copy(update={"engines": ("puppet",)}))
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", "/somewhere")
    monkeypatch.setenv("LIPSTAGE_ENGINES", "puppet,sonic")
    after = programs(settings)
    assert [name for name in before if before[name] != after[name]] == ["audio-0"]
    assert after["audio-0"].env["LIPSTAGE_ENGINES"] == "puppet,sonic"
    assert after["infer-sonic-0"].env["LIPSTAGE_SONIC_WEIGHTS"] == "/somewhere"


def test_weights_paths_are_absolute_for_the_service(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The service runs in another folder, and its worker expands no path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", "weights")
    monkeypatch.setenv("LIPSTAGE_WEIGHTS_CACHE", "~/cache")
    environment = programs(settings)["infer-sonic-0"].env
    assert environment["LIPSTAGE_SONIC_WEIGHTS"] == str(tmp_path / "weights")
    assert environment["LIPSTAGE_WEIGHTS_CACHE"] == str(tmp_path / "home" / "cache")
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", "s3://models/sonic")
    assert programs(settings)["infer-sonic-0"].env["LIPSTAGE_SONIC_WEIGHTS"] == "s3://models/sonic"


def test_device_variables_are_passed_to_services(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    environment = programs(settings)["infer-sonic-0"].env
    assert environment["CUDA_VISIBLE_DEVICES"] == "MIG-1"
    assert environment["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


def test_services_serve_health_where_the_stack_asks(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_HEALTH_HOST", "127.0.0.2")
    assert {one.env["LIPSTAGE_HEALTH_HOST"] for one in programs(settings).values()} == {"127.0.0.1"}


def test_unknown_engine_and_missing_environment_are_reported(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match="engines are puppet, sonic") as caught:
        services.check_engines(settings.model_copy(update={"engines": ("nobody",)}))
    assert caught.value.code == StackCode.BAD_ENGINE
    monkeypatch.setenv("LIPSTAGE_SONIC_PYTHON", str(tmp_path / "absent"))
    with pytest.raises(StackError) as caught:
        services.check_engines(settings)
    assert caught.value.code == StackCode.TORCH_MISSING
