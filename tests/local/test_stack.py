"""The local stack with real parts: `up` can be repeated and restarts killed parts, `down` ends everything."""

import json
import signal
import socket
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from shared.local import ports, processes, stack_file, store, supervision
from shared.local import stack as local
from shared.local.doctor import doctor
from shared.local.errors import StackCode, StackError
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.status import status
from tests.conftest import Infrastructure

WAIT_S = 60.0


def healthy(settings: LocalSettings) -> dict[str, bool]:
    return {part.name: part.healthy for part in status(settings)}


def becomes_healthy(settings: LocalSettings) -> None:
    """Waits, as a probe has 2 s, which a busy machine may exceed once."""
    until = time.monotonic() + WAIT_S
    while (found := healthy(settings)) != {"broker": True, "store": True, "traces": True}:
        assert time.monotonic() < until, found
        time.sleep(0.2)


def test_up_twice_keeps_every_process(own: LocalSettings) -> None:
    local.up(own, services=False)
    before = {part.name: part.pid for part in status(own)}
    local.up(own, services=False)
    assert {part.name: part.pid for part in status(own)} == before
    assert set(before) == {"broker", "store", "traces"}


def test_store_takes_many_buckets_whatever_the_disk_has_free(stack: Infrastructure) -> None:
    """Each needs a volume, and SeaweedFS would allow one for each free GiB."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.stack.ports['master']}/dir/status") as answer:
        assert json.load(answer)["Topology"]["Max"] == store.MAX_VOLUMES


@pytest.mark.parametrize("victim", ["broker", "store", "traces", "supervisor"])
def test_up_restarts_a_killed_part(own: LocalSettings, victim: str) -> None:
    first = local.up(own, services=False)
    if victim == "supervisor":
        pid = int(first.supervisor().pidfile.read_text())
    else:
        pid = next(part.pid for part in status(own) if part.name == victim)
    process = processes.identify(pid)
    assert process is not None
    processes.kill(process, signal.SIGKILL)
    assert processes.wait_gone([process], 60)
    again = local.up(own, services=False)
    becomes_healthy(own)
    assert again.bootstrap_servers == first.bootstrap_servers, "clients keep their address"


def test_up_replaces_a_hung_supervisor(own: LocalSettings) -> None:
    first = local.up(own, services=False)
    process = processes.identify(int(first.supervisor().pidfile.read_text()))
    assert process is not None
    processes.kill(process, signal.SIGSTOP)
    local.up(own, services=False)
    assert not processes.alive(process)
    becomes_healthy(own)


def test_up_replaces_a_supervisor_killed_during_start(own: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    start = supervision.Supervisor.start
    victims: list[processes.ProcessId] = []

    def start_and_kill(self: supervision.Supervisor) -> None:
        start(self)
        if not victims:
            until = time.monotonic() + WAIT_S
            while not (self.pidfile.exists() and self.pidfile.read_text().strip()):
                assert time.monotonic() < until, self.responds()
                time.sleep(0.01)
            found = processes.identify(int(self.pidfile.read_text()))
            assert found is not None
            victims.append(found)
            processes.kill(found)

    monkeypatch.setattr(supervision.Supervisor, "start", start_and_kill)
    local.up(own, services=False)
    assert victims
    becomes_healthy(own)


def test_hung_parts_are_reported_unhealthy(own: LocalSettings) -> None:
    local.up(own, services=False)
    stopped = [processes.identify(part.pid) for part in status(own)]
    for process in stopped:
        assert process is not None
        processes.kill(process, signal.SIGSTOP)
    assert healthy(own) == {"broker": False, "store": False, "traces": False}


@pytest.mark.parametrize("folder", ["a folder", "per%cent", "quo\"te's", "deep" * 30])
def test_state_folder_may_have_any_path(own: LocalSettings, tmp_path: Path, folder: str) -> None:
    settings = own.model_copy(update={"state_dir": tmp_path / folder})
    stack = stack_file.fresh(settings.state)
    stack.sockets = stack_file.socket_folder(settings.state)
    stack.save()
    supervisor = stack.supervisor()
    supervisor.write([Program("sleeper", ("/bin/sleep", "600"))])
    supervisor.start()
    try:
        assert [program.name for program in supervisor.programs()] == ["sleeper"]
        assert [program.state for program in supervisor.programs()] in (["STARTING"], ["RUNNING"])
    finally:
        local.down(settings)
    assert not processes.stack_processes(stack.mark)
    assert not stack.sockets.exists() or stack.sockets == supervisor.run


def test_stack_that_was_never_started_leaves_no_folder(
    own: LocalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets of a state folder with a long path lie in a temporary folder; doctor and a refused up make none."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    settings = own.model_copy(update={"state_dir": tmp_path / ("deep" * 30)})
    doctor(settings)
    with pytest.raises(StackError):
        local.up(settings, {"audio": -1})
    assert list(temporary.iterdir()) == []


def test_down_leaves_no_process_port_or_socket(own: LocalSettings) -> None:
    started = local.up(own, services=False)
    taken = dict(started.ports)
    local.down(own)
    assert not processes.stack_processes(started.mark)
    assert [name for name, port in taken.items() if not ports.is_free(port)] == []
    assert list(own.state.rglob("*.sock")) == []
    assert status(own) == []


def test_port_conflict_is_one_line_with_the_port(own: LocalSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(StackError) as error:
            local.up(own.model_copy(update={"kafka_port": port}), services=False)
    assert error.value.code == StackCode.PORT_TAKEN
    assert str(port) in error.value.message
    assert "\n" not in error.value.message


def test_too_little_disk_is_reported_as_disk_full(own: LocalSettings) -> None:
    with pytest.raises(StackError) as error:
        local.up(own.model_copy(update={"disk_min_mb": 10**9}), services=False)
    assert error.value.code == StackCode.DISK_FULL


def test_write_to_a_full_disk_is_reported_as_disk_full(own: LocalSettings) -> None:
    """Every write to /dev/full fails like one to a full disk."""
    folder = own.state / "kafka"
    local.up(own, services=False)
    local.down(own)
    (folder / "log4j2.properties").unlink()
    (folder / "log4j2.properties").symlink_to("/dev/full")
    with pytest.raises(StackError) as error:
        local.up(own, services=False)
    assert (error.value.code, str(own.state) in error.value.message) == (StackCode.DISK_FULL, True)
    assert status(own) == []


def test_the_generated_configuration_holds_no_secret(stack: Infrastructure) -> None:
    secret = stack.environment["AWS_SECRET_ACCESS_KEY"]
    run = stack.settings.state / "run"
    texts = [path.read_text(errors="replace") for path in run.iterdir() if path.is_file()]
    assert texts
    assert not any(secret in text for text in texts)
    assert (stack.settings.state / "secrets.json").stat().st_mode & 0o077 == 0


def test_doctor_fails_when_the_supervisor_has_ended(own: LocalSettings) -> None:
    started = local.up(own, services=False)
    process = processes.identify(int(started.supervisor().pidfile.read_text()))
    assert process is not None
    processes.kill(process)
    assert processes.wait_gone([process], 60)
    (found,) = [check for check in doctor(own) if check.name == "stack"]
    assert (found.level, found.fix) == ("fail", "lipstage up")
    local.down(own)
    (found,) = [check for check in doctor(own) if check.name == "stack"]
    assert found.level == "warn", "it was stopped on purpose"


def test_doctor_passes_on_a_healthy_stack(stack: Infrastructure) -> None:
    of_this_machine = ("user", "users", "confinement")  # Root, other users, an old kernel: each is a warning.
    found = {check.name: check.level for check in doctor(stack.settings) if check.name not in of_this_machine}
    assert set(found.values()) == {"ok"}
    assert {"broker", "topics", "store", "traces", "disk", "broker files", "ports", "python"} <= set(found)
