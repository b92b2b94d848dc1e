"""A faulty environment ends a command with one line and the right exit code, never with a traceback."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from shared.local.errors import StackError
from shared.local.infrastructure import _make_topics
from shared.runtime.admin_process import AdminProcess
from tests.cli.conftest import Lipstage, alone
from tests.conftest import Infrastructure


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", ["status", "up", "down", "doctor", "logs", "demo", "jobs"])
def test_a_port_that_is_not_a_number_is_reported(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("LIPSTAGE_KAFKA_PORT", "abc")
    ran = lipstage(command)
    assert ran.code == 2
    assert "LIPSTAGE_KAFKA_PORT=abc: must be a whole number, 0 to 65535" in ran.err


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LIPSTAGE_INPUT_BUCKETS", "notjson", "LIPSTAGE_INPUT_BUCKETS=notjson: must be JSON"),
        ("LIPSTAGE_INPUT_BUCKETS", '{"inputs": "lipstage"}', "must not name the artifact bucket"),
        ("LIPSTAGE_MAX_ATTEMPTS", "0", "LIPSTAGE_MAX_ATTEMPTS=0: must be a whole number, 1 to 100"),
        ("KAFKA_PROPERTIES_FILE", "/no/such", "KAFKA_PROPERTIES_FILE=/no/such: No such file"),
    ],
)
def test_a_variable_that_does_not_parse_is_reported(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    ran = lipstage("config")
    assert ran.code == 2
    assert words in ran.err


@pytest.mark.usefixtures("nowhere")
def test_an_invalid_tenant_name_is_bad_use(lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path) -> None:
    jobs = [[command, "j"] for command in ("watch", "job", "cancel", "erase")]
    for command in (["render", portrait, speech, "-o", tmp_path / "x.mp4"], ["submit", portrait, speech], *jobs):
        ran = lipstage(*command, "--tenant", "../x")
        assert (ran.code, "tenant" in ran.err) == (2, True), command


@pytest.mark.usefixtures("nowhere")
def test_file_names_that_are_too_long_are_bad_use(
    lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    long = "x" * 300
    for command in (["render", long, speech, "-o", "x.mp4"], ["render", portrait, long, "-o", "x.mp4"],
                    ["render", portrait, speech, "-o", long], ["submit", "--batch", long]):  # fmt: skip
        ran = lipstage(*command)
        assert (ran.code, "can't be used: File name too long" in ran.err) == (2, True), command


def test_a_deployment_without_the_inputs_alias_is_bad_use(
    stack: Infrastructure, lipstage: Lipstage, portrait: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_INPUT_BUCKETS", '{"media": "somewhere"}')
    ran = lipstage("submit", portrait, speech)
    assert (ran.code, "LIPSTAGE_INPUT_BUCKETS" in ran.err) == (2, True)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder


def test_doctor_reports_every_fault_of_the_machine(stack: Infrastructure, tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    ran = alone("doctor", "--json", LIPSTAGE_STATE_DIR=tmp_path / "s", LIPSTAGE_JARS_DIR=tmp_path / "jars",
                LIPSTAGE_KAFKA_PORT=port, LIPSTAGE_DISK_MIN_MB=10**9)  # fmt: skip
    assert ran.code == 1
    wrong = {check["name"]: check for check in ran.json if check["level"] == "fail"}
    assert set(wrong) == {"ports", "broker files", "disk"}
    assert str(port) in wrong["ports"]["result"]
    assert "LIPSTAGE_KAFKA_PORT" in wrong["ports"]["fix"]
    assert "missing" in wrong["broker files"]["result"]
    assert not (tmp_path / "s").exists(), "looking makes nothing"


def test_doctor_checks_the_parts_that_the_environment_names(stack: Infrastructure, tmp_path: Path) -> None:
    """In a folder without a stack, with the session's broker and store named by the environment."""
    named = {name: value for name, value in stack.environment.items() if name.startswith(("KAFKA", "AWS", "OTEL"))}
    good = alone("doctor", "--json", LIPSTAGE_STATE_DIR=tmp_path / "s", **named)
    found = {check["name"]: check for check in good.json}
    assert good.code == 0
    assert [found[name]["level"] for name in ("broker", "topics", "store", "traces")] == ["ok"] * 4
    assert "version 4.0 or newer" in found["broker"]["result"]
    assert "broker files" not in found, "no local broker, no jars"
    bad = named | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "wrong",
                   "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}  # fmt: skip
    ran = alone("doctor", "--json", LIPSTAGE_STATE_DIR=tmp_path / "s", **bad)
    levels = {check["name"]: check["level"] for check in ran.json}
    assert ran.code == 1
    assert (levels["broker"], levels["store"], levels["traces"]) == ("fail", "fail", "warn")


def test_up_that_fails_is_code_1(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    ran = alone("up", LIPSTAGE_STATE_DIR=tmp_path / "s", LIPSTAGE_KAFKA_PORT=port)
    assert (ran.code, f"PORT_TAKEN: port {port} for kafka is taken" in ran.err) == (1, True)
    ran = alone("demo", "-o", tmp_path / "x.mp4", LIPSTAGE_STATE_DIR=tmp_path / "s", LIPSTAGE_KAFKA_PORT=port)
    assert (ran.code, "PORT_TAKEN" in ran.err) == (1, True), "the same rule"


def test_topics_diff_fails_when_the_broker_refuses(
    stack: Infrastructure, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = AdminProcess.result

    def refuse(asked: AdminProcess) -> object:
        if asked._request["name"] != "diff":
            return result(asked)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(AdminProcess, "result", refuse)
    ran = lipstage("topics", "diff")
    assert (ran.code, "the broker refuses" in ran.err) == (1, True)


@pytest.fixture
def aborting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every admin client aborts its process, as librdkafka may when the broker dies under a request."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import os; os.abort()"\n')
    python.chmod(0o755)
    monkeypatch.setattr("shared.runtime.admin_process.sys.executable", str(python))


@pytest.mark.usefixtures("aborting")
def test_an_admin_client_that_aborts_does_not_end_the_command(
    stack: Infrastructure, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(stack.settings.state))
    status = lipstage("status", "--json")
    broker = {part["name"]: part for part in status.json}["broker"]
    assert (status.code, broker["healthy"]) == (1, False)
    for command in (["topics", "diff"], ["topics", "apply"], ["jobs"]):
        ran = lipstage(*command)
        assert (ran.code, "no Kafka broker answers" in ran.err) == (3, True), command
    doctor = lipstage("doctor", "--json")
    (found,) = [check for check in doctor.json if check["name"] == "broker"]
    assert (doctor.code, found["level"], "does not answer" in found["result"]) == (1, "fail", True)


@pytest.mark.usefixtures("aborting")
def test_an_admin_client_that_aborts_while_topics_are_made_is_reported(stack: Infrastructure) -> None:
    with pytest.raises(StackError, match=r"TOPICS_FAILED: the topics are not ready: .*SIGABRT"):
        _make_topics(stack.settings, stack.stack)
