"""An `up` that can't succeed is refused before anything of the running stack changes."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.local import variables
from tests.cli.conftest import Lipstage
from tests.cli.test_stack_commands import pids
from tests.pipeline.conftest import Pipeline


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("LIPSTAGE_SLOTS", "abc", 2, "LIPSTAGE_SLOTS=abc: must be a whole number, 1 to 64"),
        ("LIPSTAGE_MAX_SPEECH_S", "99999", 2, "LIPSTAGE_MAX_SPEECH_S=99999: must be a number, more than 0.2, at most"),
        ("LIPSTAGE_X264_PRESET", "placebo", 2, "LIPSTAGE_X264_PRESET=placebo: must be one of ultrafast"),
        ("LIPSTAGE_SONIC_DTYPE", "int4", 2, "LIPSTAGE_SONIC_DTYPE=int4: must be one of auto"),
        ("LIPSTAGE_DRAIN_S", "inf", 2, "LIPSTAGE_DRAIN_S=inf: must be a number, 0 to"),
        ("LIPSTAGE_CACHE_KEY", "short", 2, "LIPSTAGE_CACHE_KEY: the cache secret needs at least 16 bytes"),
        ("LIPSTAGE_SCRATCH_DIR", "/no/such", 2, "LIPSTAGE_SCRATCH_DIR=/no/such: not a folder"),
        ("LIPSTAGE_HEALTH_HOST", "203.0.113.7", 2, "LIPSTAGE_HEALTH_HOST=203.0.113.7: not an address of this machine"),
        ("LIPSTAGE_HEALTH_HOST", "::1", 2, "LIPSTAGE_HEALTH_HOST=::1: not an address of this machine (IPv4)"),
        ("LIPSTAGE_SCRATCH_DIR", "/bin/ls", 2, "LIPSTAGE_SCRATCH_DIR=/bin/ls: not a folder"),
        ("LIPSTAGE_ENGINES", ",", 2, "LIPSTAGE_ENGINES=,: "),
        ("LIPSTAGE_INPUT_BUCKETS", "{}", 2, "LIPSTAGE_INPUT_BUCKETS={}: "),
        ("LIPSTAGE_ENGINES", "puppet,nobody", 2, "no engine 'nobody'"),
        ("LIPSTAGE_DISK_MIN_MB", "1000000000", 1, "DISK_FULL: "),
        ("LIPSTAGE_JARS_DIR", "/proc/none", 1, "JARS_MISSING: "),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", 1, "BROKER_FAILED: the broker 127.0.0.1:1, named by KAFKA_"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1", 1, "STORE_FAILED: the object store http://127.0.0.1:1, named by"),
        ("AWS_ENDPOINT_URL_S3", "foo", 2, "AWS_ENDPOINT_URL_S3=foo: must be a URL"),
        ("AWS_REGION", "no region", 2, "AWS_REGION=no region: "),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "foo", 2, "OTEL_EXPORTER_OTLP_ENDPOINT=foo: must be a URL"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", 2, "OTEL_*: max_queue_size"),
    ],
)
def test_a_wrong_variable_leaves_every_process(
    pipeline: Pipeline,
    lipstage: Lipstage,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
    words: str,
) -> None:
    before = pids(lipstage)
    with monkeypatch.context() as environment:
        environment.setenv(name, value)
        ran = lipstage("up")
    assert (ran.code, words in ran.err, "Traceback" in ran.err) == (code, True, False), ran.err
    assert pids(lipstage) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("LIPSTAGE_HEALTH_HOST", "127.0.0.2"), ("HTTP_PROXY", "http://127.0.0.1:1"), ("LIPSTAGE_ENGINES", "")],
)
def test_a_variable_that_does_not_concern_the_stack_leaves_every_process(
    pipeline: Pipeline, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert lipstage("up").code == 0  # With the environment that earlier tests left.
    before = pids(lipstage)
    with monkeypatch.context() as environment:
        environment.setenv(name, value)
        ran = lipstage("up")
        assert ran.code == 0, ran.err
        assert pids(lipstage) == before


@pytest.mark.parametrize(
    "line", ["foo.bar=1", "socket.timeout.ms=abc", "security.protocol=SSL\nssl.ca.location=/none", "acks=0", "foo"]
)
@pytest.mark.usefixtures("nowhere")
def test_a_wrong_kafka_property_is_one_line_of_the_file(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(f"{line}\n")
    monkeypatch.setenv("KAFKA_PROPERTIES_FILE", str(file))
    ran = lipstage("up")
    assert (ran.code, ran.err.count("KAFKA_PROPERTIES_FILE")) == (2, 1), ran.err


@pytest.mark.usefixtures("nowhere")
def test_a_value_of_wrong_form_hides_no_other_fault(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {"LIPSTAGE_SLOTS": "abc", "LIPSTAGE_INPUT_BUCKETS": "x", "KAFKA_PROPERTIES_FILE": "/none",
             "LIPSTAGE_SCRATCH_DIR": "/none", "LIPSTAGE_HEALTH_HOST": "::1"}  # fmt: skip
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    ran = lipstage("up")
    assert [ran.err.count(f"{name}=") for name in wrong] == [1] * len(wrong), ran.err


def test_a_taken_port_leaves_every_process(
    pipeline: Pipeline, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    before = pids(lipstage)
    with monkeypatch.context() as environment:
        environment.setenv("LIPSTAGE_S3_PORT", str(taken))
        ran = lipstage("up", "--scale", "infer=99", "--engine", "nobody")
        assert (ran.code, "infer=99: a stage can have" in ran.err, "no engine 'nobody'" in ran.err) == (2, True, True)
        ran = lipstage("up")
    assert (ran.code, f"PORT_TAKEN: port {taken} for s3 is taken" in ran.err) == (1, True)
    assert pids(lipstage) == before


@pytest.mark.usefixtures("nowhere")
def test_every_wrong_variable_is_one_line_of_one_message(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIPSTAGE_SLOTS", "LIPSTAGE_KAFKA_PORT", "LIPSTAGE_LIP_CHECK"):
        monkeypatch.setenv(name, "abc")
    ran = lipstage("up")
    assert ran.code == 2
    assert [line.removeprefix("error: ").strip().partition("=")[0] for line in ran.err.splitlines()[:3]] == [
        "LIPSTAGE_KAFKA_PORT",
        "LIPSTAGE_SLOTS",
        "LIPSTAGE_LIP_CHECK",
    ]


@pytest.mark.usefixtures("nowhere")
def test_a_refused_first_up_leaves_no_stack(
    lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, taken: int
) -> None:
    monkeypatch.setenv("LIPSTAGE_KAFKA_PORT", str(taken))
    assert lipstage("up").code == 1
    assert {path.name for path in (tmp_path / "no-stack").iterdir()} <= {"lock"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LIPSTAGE_SLOT", "LIPSTAGE_SLOTS"),
        ("LIPSTAGE_MAX_SPEACH_S", "LIPSTAGE_MAX_SPEECH_S"),
        ("LIPSTAGE_SONIC_WEIGHT", "LIPSTAGE_SONIC_WEIGHTS"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("LIPSTAGE_WHATEVER", None),
    ],
)
def test_a_misspelt_variable_is_found_with_the_nearest_name(name: str, nearest: str | None) -> None:
    assert variables.unknown([name]) == {name: nearest}


def test_variables_of_other_programs_are_not_reported() -> None:
    others = ("KAFKA_HEAP_OPTS", "AWS_ENDPOINT_URL", "AWS_PROFILE", "OTEL_SERVICE_NAME", "PATH", "LIPSTAGE_STACK")
    assert variables.unknown([*others, "lipstage_slots", "LIPSTAGE_SONIC_PYTHON"]) == {}


@pytest.mark.usefixtures("nowhere")
def test_up_warns_of_a_misspelt_variable(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_SLOT", "2")
    monkeypatch.setenv("LIPSTAGE_DISK_MIN_MB", "1000000000")
    assert "warning: LIPSTAGE_SLOT is not a setting: did you mean LIPSTAGE_SLOTS?" in lipstage("up").err
