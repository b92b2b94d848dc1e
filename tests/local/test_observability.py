"""Tempo, Prometheus and Grafana beside the local stack: which are found, how they are wired, started and stopped."""

import json
import sys
from pathlib import Path

import pytest

from shared.local import addresses, grafana, observability, prometheus, readiness, stack_file, tempo
from shared.local import stack as local
from shared.local.deployment import deployment_of
from shared.local.doctor import observability_checks
from shared.local.errors import StackCode, StackError
from shared.local.settings import LocalSettings
from shared.local.stack_file import ServiceRecord, Stack
from shared.local.status import status
from tests.local import stand_in

NAMES = ("tempo", "prometheus", "grafana")


@pytest.fixture(autouse=True)
def nothing_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"LIPSTAGE_{name.upper()}_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


@pytest.fixture
def stand_ins(tmp_path: Path) -> dict[str, Path]:
    """Programs that answer on their ports, by name."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    source = Path(stand_in.__file__).read_text()
    made = {name: folder / name for name in NAMES}
    for path in made.values():
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(0o755)
    return made


def settings_of(tmp_path: Path, programs: dict[str, Path], **values: object) -> LocalSettings:
    parts = {"kafka_bootstrap_servers": "", "s3_endpoint_url": "", "otlp_endpoint": ""}
    return LocalSettings(
        state_dir=tmp_path / "state", **parts | {f"{name}_bin": path for name, path in programs.items()} | values
    )


def assigned(settings: LocalSettings) -> Stack:
    stack = stack_file.fresh(settings.state)
    stack.observability = True
    addresses.assign(settings, stack)
    return stack


def test_nothing_runs_unless_asked_for(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    settings = settings_of(tmp_path, stand_ins)
    stack = stack_file.fresh(settings.state)
    addresses.assign(settings, stack)
    assert (stack.programs, observability.missing(stack)) == ({}, {})
    assert stack.otlp_endpoint == stack.traces_url
    assert "LIPSTAGE_TEMPO_URL" not in stack.environment(None)


def test_programs_are_found_by_setting_and_on_path(
    tmp_path: Path, stand_ins: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(stand_ins["tempo"].parent))
    stand_ins["tempo"].rename(stand_ins["tempo"].with_name("other"))
    settings = settings_of(tmp_path, {"tempo": stand_ins["tempo"].with_name("other")})
    assert {name: path.name for name, path in assigned(settings).programs.items()} == {
        "tempo": "other", "prometheus": "prometheus", "grafana": "grafana",
    }  # fmt: skip


def test_missing_programs_are_named_with_what_follows(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    stack = assigned(settings_of(tmp_path, {"prometheus": stand_ins["prometheus"]}))
    reasons = observability.missing(stack)
    assert set(reasons) == {"tempo", "grafana"}
    assert reasons["tempo"] == (
        "no tempo on PATH, and LIPSTAGE_TEMPO_BIN is not set; spans go to the built-in trace receiver"
    )
    assert stack.otlp_endpoint == stack.traces_url


def test_named_program_that_is_not_there_is_refused(own: LocalSettings, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"LIPSTAGE_TEMPO_BIN=.*/nothing is not a program") as error:
        local.up(own.model_copy(update={"tempo_bin": tmp_path / "nothing"}), services=False, with_observability=True)
    assert error.value.code == StackCode.PROGRAM_MISSING
    assert status(own) == []


def test_spans_go_to_tempo_and_commands_know_its_address(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    stack = assigned(settings_of(tmp_path, stand_ins))
    assert stack.otlp_endpoint == f"http://127.0.0.1:{stack.ports['tempo.otlp']}"
    assert stack.environment(None)["LIPSTAGE_TEMPO_URL"] == f"http://127.0.0.1:{stack.ports['tempo']}"
    assert stack.traces_url, "the built-in receiver stays, for what it has"


@pytest.mark.parametrize("exported", ["otlp_endpoint", "traces_url"])
def test_exported_addresses_of_the_stack_are_no_external_collector(
    tmp_path: Path, stand_ins: dict[str, Path], exported: str
) -> None:
    """Those of Tempo, and those of the receiver from a shell that is older than Tempo."""
    settings = settings_of(tmp_path, stand_ins)
    stack = assigned(settings)
    before = stack.model_copy(deep=True)
    addresses.assign(settings.model_copy(update={"otlp_endpoint": getattr(stack, exported)}), stack)
    assert stack == before


def test_external_collector_gets_the_spans_instead_of_tempo(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    stack = assigned(settings_of(tmp_path, stand_ins, otlp_endpoint="http://collector.example:4318"))
    assert (set(stack.programs), stack.otlp_endpoint) == ({"prometheus", "grafana"}, "http://collector.example:4318")
    assert observability.missing(stack)["tempo"].startswith("not started: the spans go to http://collector.example")


def test_every_part_listens_on_loopback_and_has_its_own_ports(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    settings = settings_of(tmp_path, stand_ins, grafana_port=23456)
    stack = assigned(settings)
    assert stack.ports["grafana"] == 23456
    assert len(set(stack.ports.values())) == len(stack.ports)
    made = {program.name: program for program in observability.programs(settings, stack)}
    assert made["tempo"].env["TEMPO_HOST"] == "127.0.0.1"
    assert made["tempo"].env["TEMPO_REMOTE_WRITE_URL"] == f"{stack.url('prometheus')}/api/v1/write"
    assert f"--web.listen-address=127.0.0.1:{stack.ports['prometheus']}" in made["prometheus"].argv
    assert made["grafana"].env["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert made["grafana"].env["TEMPO_URL"] == stack.url("tempo")
    assert not any("secret" in value.lower() for program in made.values() for value in program.env.values())


def test_without_prometheus_tempo_sends_no_metrics(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    """Another Prometheus may listen where the configuration sends them by default."""
    settings = settings_of(tmp_path, {"tempo": stand_ins["tempo"]})
    environment = tempo.program(settings, assigned(settings)).env
    assert (environment["TEMPO_PROCESSORS"], "TEMPO_REMOTE_WRITE_URL" in environment) == ("[]", False)


def test_changed_configuration_restarts_its_program(
    tmp_path: Path, stand_ins: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, stand_ins)
    stack = assigned(settings)
    before = tempo.program(settings, stack)
    changed = tmp_path / "tempo.yaml"
    changed.write_text("server: {}\n")
    monkeypatch.setattr(tempo, "configuration", lambda _: changed)
    assert tempo.program(settings, stack).env["CONFIGURATION"] != before.env["CONFIGURATION"]


def test_grafana_of_an_archive_and_of_a_distribution(tmp_path: Path) -> None:
    binary = tmp_path / "grafana-12" / "bin" / "grafana"
    assert grafana.home(binary) == Path("/usr/share/grafana")
    (tmp_path / "grafana-12" / "conf").mkdir(parents=True)
    (tmp_path / "grafana-12" / "conf" / "defaults.ini").touch()
    assert grafana.home(binary) == tmp_path / "grafana-12"


def test_targets_name_every_service_and_part(tmp_path: Path, stand_ins: dict[str, Path]) -> None:
    settings = settings_of(tmp_path, stand_ins)
    stack = assigned(settings)
    stack.services = [
        ServiceRecord(name="infer-puppet-0", stage="infer", engine="puppet", topic="t", group="g", health_port=24001),
        ServiceRecord(name="relay-0", stage="relay", engine=None, topic="t", group="g", health_port=24002),
    ]
    prometheus.write_targets(stack)
    folder = settings.state / "prometheus" / "targets"
    services = json.loads((folder / "services.json").read_text())
    assert [one["targets"] for one in services] == [["127.0.0.1:24001"], ["127.0.0.1:24002"]]
    assert [(one["labels"]["service"], one["labels"]["replica"]) for one in services] == [
        ("infer-puppet", "infer-puppet-0"), ("relay", "relay-0"),
    ]  # fmt: skip
    parts = json.loads((folder / "observability.json").read_text())
    assert {one["labels"]["part"]: one["targets"] for one in parts} == {
        name: [f"127.0.0.1:{stack.ports[name]}"] for name in NAMES
    }


def test_doctor_reports_each_part(tmp_path: Path, stand_ins: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stack = assigned(settings_of(tmp_path, {name: stand_ins[name] for name in ("tempo", "prometheus")}))
    monkeypatch.setattr(readiness, "serves", lambda port, *_: port == stack.ports["tempo"])
    checks = {check.name: check for check in observability_checks(stack)}
    assert {name: check.level for name, check in checks.items()} == {
        "tempo": "ok", "prometheus": "fail", "grafana": "warn",
    }  # fmt: skip
    assert checks["prometheus"].fix == "lipstage logs prometheus; lipstage up"


def test_up_starts_keeps_and_stops_the_parts(own: LocalSettings, stand_ins: dict[str, Path]) -> None:
    settings = own.model_copy(update={f"{name}_bin": path for name, path in stand_ins.items()})
    notes: list[str] = []
    first = local.up(settings, services=False, with_observability=True, note=notes.append)
    before = {part.name: part.pid for part in status(settings)}
    assert set(before) == {"broker", "store", "traces", *NAMES}
    assert all(part.healthy for part in status(settings))
    assert deployment_of(first).tempo_url == first.url("tempo")
    assert [line for line in notes if line.startswith("grafana")] == [f"grafana {first.url('grafana')}: ready"]
    started = json.loads(stand_ins["tempo"].with_suffix(".json").read_text())
    assert started["env"]["AWS_ACCESS_KEY_ID"] == local.credentials_of(first).access_key  # type: ignore[union-attr]
    started = json.loads(stand_ins["grafana"].with_suffix(".json").read_text())
    assert started["argv"][1:3] == ["server", "--homepath"]
    local.up(settings, services=False)
    assert {part.name: part.pid for part in status(settings)} == before, "kept without the option"
    without = local.up(settings, services=False, with_observability=False)
    assert {part.name for part in status(settings)} == {"broker", "store", "traces"}
    assert without.otlp_endpoint == without.traces_url


def test_failed_part_is_reported_with_the_last_line_of_its_log(own: LocalSettings, stand_ins: dict[str, Path]) -> None:
    stand_ins["tempo"].write_text("#!/bin/sh\necho 'failed parsing config: field x not found' >&2\nexit 1\n")
    settings = own.model_copy(update={"tempo_bin": stand_ins["tempo"]})
    with pytest.raises(StackError, match="tempo did not become ready: failed parsing config: field x") as error:
        local.up(settings, services=False, with_observability=True)
    assert error.value.code == StackCode.TEMPO_FAILED
    assert status(settings) == []
