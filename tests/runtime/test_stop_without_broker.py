"""SIGTERM ends every service at once while its broker has never answered, in whichever call it waits."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.local.ports import pick
from tests.conftest import ROOT

LIMIT_S = 30
"""It takes 1.5 s on an idle machine; without the early exit 10 s to 60 s, the time limits of the client's calls. One
call of 10 s alone would not show."""
WAITS = ("broker_not_reached", "kafka_error", "cancel_topic_unavailable", "projection_waits", "projection_answers")
"""The first line of a service that finds no broker."""


@contextmanager
def service(*module: str, scratch: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    (port,) = pick(1, set())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIPSTAGE_", "OTEL_"))}
    environment |= {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "LIPSTAGE_SCRATCH_DIR": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stopped(process: "subprocess.Popen[str]", waits: tuple[str, ...]) -> tuple[int, list[str]]:
    """Send SIGTERM once the service waits; its exit status and its events after that.

    Its end need not be the last of them: background threads may wait in a call of the Kafka client until the process
    ends, and log what the client reports.
    """
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):
            if json.loads(line)["event"] in waits:
                break
    else:
        raise AssertionError(f"it ended with {process.wait()}")
    process.send_signal(signal.SIGTERM)
    # Read on: a service that can't write its log can't end. What was buffered so far is lost, perhaps a part of a line.
    log, _ = process.communicate(timeout=LIMIT_S)
    events = []
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            events.append(json.loads(line)["event"])
    return process.returncode, events


@pytest.mark.parametrize("protocol", ["auto", pytest.param("classic", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", ["audio", "face", "infer", "encode", "relay"])
def test_service_ends_at_once(stage: str, protocol: str, tmp_path: Path) -> None:
    with service("shared.runtime", stage, scratch=tmp_path, LIPSTAGE_GROUP_PROTOCOL=protocol) as process:
        status, events = stopped(process, WAITS)
    assert (status, events.count("service_stopped")) == (0, 1)
    assert not list(tmp_path.iterdir()), "no folder is left"


def test_webhooks_end_at_once(tmp_path: Path) -> None:
    with service("stages.gateway.webhooks", scratch=tmp_path, LIPSTAGE_WEBHOOK_KEY="k" * 32) as process:
        status, events = stopped(process, WAITS)
    assert (status, events.count("service_stopped")) == (0, 1)


def test_projection_ends_at_once(tmp_path: Path) -> None:
    pytest.importorskip("faust")
    with service("stages.gateway.projection", scratch=tmp_path) as process:
        status, events = stopped(process, WAITS)
    assert (status, events.count("service_stopped")) == (0, 1)
    assert not list(tmp_path.iterdir()), "no folder is left"
