"""The reason that `up` prints for a failed start is a sentence, never a line of JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.local.errors import StackCode
from shared.local.failure_reason import failure_reason
from shared.local.readiness import explain

ROOT = Path(__file__).resolve().parents[2]


def line(event: str, level: str = "error", **fields: object) -> str:
    return json.dumps({"event": event, "service": "audio", "level": level, **fields})


RAISED = [{"exc_type": "KafkaError", "exc_value": "no broker\nanswers", "frames": [{"name": "x" * 999}]}]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([line("crashed", "critical", exception=RAISED)], "KafkaError: no broker answers"),
        ([line("crashed", "critical", exception=[{"exc_type": "MemoryError", "exc_value": ""}])], "MemoryError"),
        ([line("thread_crashed", exception=RAISED)], "thread_crashed: KafkaError: no broker answers"),
        ([line("wrong_use", reason="LIPSTAGE_SLOTS = x is not a number")], "LIPSTAGE_SLOTS = x is not a number"),
        ([line("service_failed", reason="no model"), line("failed", "info")], "service_failed: no model"),
        ([line("end_not_stored", code="STORE", attempt=1)], "end_not_stored: STORE"),
        ([line("an error cannot", "warning"), "started", line("failed", "info")], "started"),
        (["fatal error: x", "bye"], "fatal error: x"),
        ([line("handler_loaded", "info")], None),
        ([line("crashed", exception=RAISED)[:80]], None),
        ([line("failed", "critical", reason="word " * 500)], ("failed: " + "word " * 500)[:300]),
        (["[1]", "{}", '{"level": 1}'], "[1]"),
        ([], None),
    ],
)
def test_reason_is_that_of_the_last_error(lines: list[str], reason: str | None) -> None:
    assert failure_reason(lines) == reason


def test_crash_and_wrong_use_of_a_service_are_explained_in_words() -> None:
    setup = "from shared.telemetry import logs; logs.setup('audio'); "
    crash = subprocess.run(
        [sys.executable, "-c", f"{setup}raise ValueError('the model has no weights')"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    error = explain("audio", crash, StackCode.SERVICE_FAILED, "it keeps ending")
    assert error.message == "audio did not become ready: ValueError: the model has no weights (`lipstage logs audio`)"
    only_info = line("handler_loaded", "info") + "\n"
    assert "it keeps ending" in explain("audio", only_info, StackCode.SERVICE_FAILED, "it keeps ending").message
