"""`python -m shared.runtime`: wrong arguments and settings are one log line each and exit status 2."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.runtime import __main__ as entry_point
from shared.runtime.host.weights import worker_variables
from shared.runtime.settings import RuntimeSettings

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIPSTAGE_")}
    command = [sys.executable, "-m", "shared.runtime", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=False)


class Forked:
    """Runs the entry point many times, each in a fork of one process that has imported it: the imports take longer than
    everything else."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LIPSTAGE_")}
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py")],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([arguments, variables]), file=self._process.stdin, flush=True)
        status, out, err = json.loads(self._process.stdout.readline())
        return status, out, err

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    made = Forked()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        ((), {}, "the following arguments are required: STAGE"),
        (("audio", "--unknown"), {}, "unrecognized arguments: --unknown"),
        (("gateway",), {}, "there is no stage 'gateway'; stages are audio, face, infer, encode, relay"),
        (("relay", "--engine", "puppet"), {}, "--engine is for infer; relay serves every engine"),
        (("audio", "--engine", "puppet"), {}, "--engine is for infer; audio serves every engine"),
        (("infer",), {"LIPSTAGE_ENGINE": "nobody"}, "this build has no engine 'nobody'"),
        (("audio",), {"LIPSTAGE_SLOTS": "many"}, "LIPSTAGE_SLOTS = many: must be a whole number, 1 to 64"),
        (
            ("audio",),
            {"LIPSTAGE_MAX_SPEECH_S": "99999"},
            "LIPSTAGE_MAX_SPEECH_S = 99999: must be a number, more than 0.2",
        ),
        (("encode",), {"LIPSTAGE_X264_PRESET": "placebo"}, "LIPSTAGE_X264_PRESET = placebo: must be one of ultrafast"),
        (
            ("infer", "--engine", "sonic"),
            {"LIPSTAGE_SONIC_DTYPE": "int4"},
            "LIPSTAGE_SONIC_DTYPE = int4: must be one of",
        ),
        (("audio",), {"LIPSTAGE_HEALTH_HOST": "203.0.113.7"}, "LIPSTAGE_HEALTH_HOST = 203.0.113.7: not an address of"),
        (("audio",), {"KAFKA_PROPERTIES_FILE": "missing-file"}, "KAFKA_PROPERTIES_FILE = missing-file: "),
        (("audio",), {"KAFKA_PROPERTIES_FILE": "tests/runtime/unknown.properties"}, "KAFKA_PROPERTIES_FILE = "),
        (("audio",), {"LIPSTAGE_SCRATCH_DIR": "/bin/ls"}, "LIPSTAGE_SCRATCH_DIR = "),
        (
            ("audio",),
            {"LIPSTAGE_HEALTH_HOST": "::1"},
            "LIPSTAGE_HEALTH_HOST = ::1: not an address of this machine (IPv4)",
        ),
        (("audio",), {"LIPSTAGE_CACHE_KEY": "short"}, "LIPSTAGE_CACHE_KEY: "),
        (("audio",), {"LIPSTAGE_CACHE_KEY_FILE": "missing-file"}, "LIPSTAGE_CACHE_KEY_FILE = missing-file: "),
        (("audio",), {"AWS_ENDPOINT_URL_S3": "foo"}, "AWS_*: "),
        (("audio",), {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_*: "),
        (("audio",), {"AWS_PROFILE": "of-another-store"}, "AWS_*: "),
        (("audio",), {"LIPSTAGE_SCRATCH_DIR": "missing-folder"}, "LIPSTAGE_SCRATCH_DIR = missing-folder: "),
        (("audio",), {"LIPSTAGE_BUCKET": "X"}, "LIPSTAGE_BUCKET = X: "),
        (
            ("infer",),
            {"LIPSTAGE_SONIC_WEIGHTS": "s3://UPPER", "LIPSTAGE_ENGINE": "sonic"},
            "LIPSTAGE_SONIC_WEIGHTS = ",
        ),
    ],
)
def test_invalid_use_is_one_log_line(
    forked: Forked, arguments: tuple[str, ...], variables: dict[str, str], line: str
) -> None:
    status, out, err = forked(*arguments, **variables)
    assert (status, err) == (2, "")
    (logged,) = map(json.loads, out.splitlines())
    assert (logged["event"], logged["level"]) == ("wrong_use", "error")
    assert logged["reason"].startswith(line)
    assert "short" not in out, "a secret is not printed"


def test_every_wrong_setting_is_one_line() -> None:
    ended = run("audio", LIPSTAGE_SLOTS="0", LIPSTAGE_MAX_SPEECH_S="0", LIPSTAGE_BUCKET="X", LIPSTAGE_HEALTH_HOST="::1")
    reasons = [json.loads(line)["reason"] for line in ended.stdout.splitlines()]
    assert (ended.returncode, [reason.partition(" = ")[0] for reason in reasons]) == (
        2,
        ["LIPSTAGE_SLOTS", "LIPSTAGE_BUCKET", "LIPSTAGE_MAX_SPEECH_S", "LIPSTAGE_HEALTH_HOST"],
    )


def test_service_gets_the_engine_and_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    services: list[tuple[str, RuntimeSettings, object]] = []

    def serve(stage: str, settings: RuntimeSettings, fetch: object) -> int:
        services.append((stage, settings, fetch))
        return 0

    monkeypatch.setattr(entry_point, "serve", serve)
    monkeypatch.setattr(entry_point.logs, "setup", lambda _: None)
    assert [entry_point.run("infer", "sonic"), entry_point.run("infer", "puppet"), entry_point.run("audio", None)] == [
        0,
        0,
        0,
    ]
    assert [(stage, settings.engine) for stage, settings, _ in services[:2]] == [
        ("infer", "sonic"),
        ("infer", "puppet"),
    ]
    assert [fetch is not None for *_, fetch in services] == [True, False, False]


def test_shipped_weights_need_no_fetch() -> None:
    assert worker_variables("puppet") is None


def test_service_without_a_broker_writes_one_json_object_a_line() -> None:
    """Also librdkafka's own errors, for example refused connections."""
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "shared.runtime", "audio"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "broker_not_reached":
                process.terminate()
                break
        process.kill()
    assert "librdkafka" in {event.get("logger") for event in events}
    assert {event["service"] for event in events} == {"audio"}
