"""Which parts are external, and the ports of the local ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.local import addresses, ports, stack_file
from shared.local.settings import LocalSettings
from shared.local.stack_file import ServiceRecord, Stack
from tests.conftest import ROOT


def settings(state: Path, broker: str = "", store: str = "", traces: str = "") -> LocalSettings:
    return LocalSettings(state_dir=state, kafka_bootstrap_servers=broker, s3_endpoint_url=store, otlp_endpoint=traces)


def two_free() -> list[int]:
    """Ports that nobody has picked, the smaller one first."""
    found = ports.pick(2)
    for port in found:
        ports._release(port)
    return sorted(found)


@pytest.fixture
def assigned(tmp_path: Path) -> Stack:
    stack = stack_file.fresh(tmp_path)
    addresses.assign(settings(tmp_path), stack)
    return stack


def test_exported_addresses_of_the_stack_are_not_external(assigned: Stack, tmp_path: Path) -> None:
    before = assigned.model_copy(deep=True)
    exported = settings(tmp_path, before.bootstrap_servers, before.s3_endpoint_url + "/", before.otlp_endpoint)
    addresses.assign(exported, assigned)
    assert assigned == before
    assert not (assigned.own_broker or assigned.own_store or assigned.own_traces)


@pytest.mark.parametrize("host", ["localhost", "[::1]", "LOCALHOST"])
def test_other_names_of_this_machine_are_the_same_address(assigned: Stack, tmp_path: Path, host: str) -> None:
    before = assigned.model_copy(deep=True)
    named = [one.replace("127.0.0.1", host)
             for one in (before.bootstrap_servers, before.s3_endpoint_url, before.otlp_endpoint)]  # fmt: skip
    addresses.assign(settings(tmp_path, *named), assigned)
    assert assigned == before


def test_other_addresses_are_external(assigned: Stack, tmp_path: Path) -> None:
    external = settings(tmp_path, broker="external:9092")
    addresses.assign(external, assigned)
    assert (assigned.own_broker, assigned.own_store, assigned.own_traces) == (True, False, False)
    assert assigned.bootstrap_servers == "external:9092"
    assert "kafka" not in assigned.ports
    addresses.assign(external, assigned)
    assert assigned.own_broker, "named again, it is still external"


def test_broker_in_the_properties_file_is_external(assigned: Stack, tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# comment\nbootstrap.servers=external:9093\nsecurity.protocol=SSL\n")
    addresses.assign(settings(tmp_path).model_copy(), assigned)
    assert not assigned.own_broker
    named = LocalSettings(state_dir=tmp_path, kafka_properties_file=file, s3_endpoint_url="", otlp_endpoint="")
    addresses.assign(named, assigned)
    assert (assigned.own_broker, assigned.bootstrap_servers) == (True, "external:9093")


def test_new_ports_differ_from_those_of_replicas(
    assigned: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port of a replica that is about to restart is free for now."""
    first, second = two_free()
    record = {"stage": "audio", "engine": None, "topic": "t", "group": "g"}
    assigned.services = [ServiceRecord(name="audio-0", health_port=first, **record)]
    del assigned.ports["traces"]
    monkeypatch.setattr(ports, "RANGE", range(first, second + 1, second - first))
    addresses.assign(settings(tmp_path), assigned)
    assert assigned.ports["traces"] == second


@pytest.mark.skipif(sys.platform != "linux", reason="ports are reserved on Linux only")
def test_port_is_picked_by_one_running_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stacks that start at a time listen only seconds after they have picked."""
    first, second = two_free()
    monkeypatch.setattr(ports, "RANGE", range(first, second + 1, second - first))
    program = (
        "import sys; from shared.local import ports\n"
        f"ports.RANGE = range({first}, {second + 1}, {second - first})\n"
        "print(ports.pick(1)[0], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        taken = int(other.stdout.readline())
        with pytest.raises(OSError, match="no 2 free"):
            ports.pick(2)
        other.communicate("")
    assert ports.is_free(taken), "it was never listened on"
    monkeypatch.setattr(ports, "RANGE", range(taken, taken + 1))
    assert ports.pick(1) == [taken]


def test_jars_folder_is_independent_of_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPSTAGE_JARS_DIR", raising=False)
    checkout = Path(__file__).resolve().parents[2]
    assert settings(tmp_path).jars == checkout / ".lipstage" / "jars"
    assert settings(tmp_path).model_copy(update={"jars_dir": tmp_path}).jars == tmp_path
