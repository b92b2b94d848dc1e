"""Log lines are JSON with trace ids and without personal data; metrics are defined in one place."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shared.telemetry import logs, metrics
from tests.runtime.log_lines import captured

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines() -> Iterator:
    with captured("audio") as lines:
        yield lines


def test_line_has_trace_ids_service_and_bound_fields(lines, recorded) -> None:
    with (
        recorded.tracer.start_as_current_span("a") as span,
        structlog.contextvars.bound_contextvars(job="3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
    ):
        structlog.get_logger().info("task_done", frames=250)
    (line,) = lines()
    context = span.get_span_context()
    assert line["trace_id"] == format(context.trace_id, "032x")
    assert line["span_id"] == format(context.span_id, "016x")
    assert (line["service"], line["job"], line["event"], line["frames"], line["level"]) == (
        "audio",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "task_done",
        250,
        "info",
    )


def test_bound_ids_of_another_thread_are_kept(lines, recorded) -> None:
    with recorded.tracer.start_as_current_span("a"):
        structlog.get_logger().info("delivered", trace_id="f" * 32)
    assert lines()[0]["trace_id"] == "f" * 32


def test_line_that_cannot_be_written_is_dropped() -> None:
    """As with stdout in a file on a full disk."""
    program = "from shared.telemetry import logs; import os, structlog; logs.setup('audio')\n"
    program += "for _ in range(1000): structlog.get_logger().warning('disk_full', reason='x' * 100)\n"
    program += "os._exit(7)"
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, cwd=ROOT)
    assert (result.returncode, result.stderr) == (7, b"")


THREADS = """
import logging, threading, structlog, sys
from shared.telemetry.logs import setup
sys.setswitchinterval(1e-6)
setup("audio")
ours, theirs = structlog.get_logger(), logging.getLogger("librdkafka")
def write(log):
    for _ in range(300):
        log("a line")
threads = [threading.Thread(target=write, args=[log]) for log in (ours.info, theirs.warning) * 3]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_lines_of_several_threads_and_libraries_stay_apart() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) == 1800
    assert {json.loads(line)["event"] for line in done.stdout.splitlines()} == {"a line"}


def test_secrets_and_paths_are_not_written(lines) -> None:
    structlog.get_logger().warning(
        "read_failed",
        owner="canary@example.com",
        aws_secret_access_key="canary",
        detail="cannot open /home/canary/p.png",
        nested={"password": "canary", "list": ["s3://canary/x", {"token": "canary"}]},
        thing=SimpleNamespace(path="/home/canary"),
    )
    (line,) = lines()
    assert "canary" not in json.dumps(line)
    assert line["detail"] == "cannot open [..]"


def test_exception_is_logged_without_locals_and_paths(lines) -> None:
    def fail() -> None:
        secret = "canary-local"
        raise ValueError(f"bad /home/canary/file, {len(secret)}")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("stage_failed")
    (line,) = lines()
    assert "canary" not in json.dumps(line)
    (error,) = line["exception"]
    assert error["exc_type"] == "ValueError"
    assert error["frames"][-1]["name"] == "fail"
    assert error["frames"][-1]["filename"] == "test_logs_and_metrics.py"


def test_exceptions_of_a_group_are_scrubbed_at_any_depth(lines) -> None:
    def fail(text: str) -> Exception:
        try:
            raise ValueError(text)
        except ValueError as e:
            e.add_note("see /home/canary/note")
            return e

    inner = ExceptionGroup("inner", [fail("bad /home/canary/b")])
    try:
        raise ExceptionGroup("of /home/canary/a", [fail("bad /home/canary/a"), inner])
    except ExceptionGroup:
        structlog.get_logger().exception("stage_failed")
    (line,) = lines()
    assert "canary" not in json.dumps(line)
    (error,) = line["exception"]
    ((first,), (group,)) = error["exceptions"]
    assert (first["exc_type"], first["exc_value"], group["exceptions"][0][0]["exc_value"]) == (
        "ValueError",
        "bad [..]",
        "bad [..]",
    )
    assert first["frames"][-1]["filename"] == "test_logs_and_metrics.py"


def test_library_warnings_have_the_same_format(lines) -> None:
    logging.getLogger("botocore").warning('say "%s" of %s', "hello", "/home/canary/x")
    logging.getLogger("botocore").info("not this")
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ('say "hello" of [..]', "warning", "botocore")
    assert line["service"] == "audio"


CRASHES = {
    "crashed": "raise KeyError('secret/path')",
    "thread_crashed": "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "exception_ignored": "class A:\n def __del__(self): 1 / 0\nA()",
    "py.warnings": "warnings.warn('old')",
    "stderr": "print('text of a library', file=sys.stderr)",
    "Traceback": "try: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()",
    "botocore": "logging.getLogger('botocore').error('x', exc_info=KeyError('y'))",
    "pydantic": "import pydantic; pydantic.TypeAdapter(int).validate_python('secret')",
}


@pytest.mark.parametrize("kind", CRASHES)
def test_whatever_python_writes_is_one_json_object_a_line(kind: str) -> None:
    program = "import logging, sys, threading, traceback, warnings\nfrom shared.telemetry import logs\n"
    program += f"logs.setup('audio')\n{CRASHES[kind]}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines
    assert result.stderr == ""
    assert all(line["service"] == "audio" for line in lines)
    assert "secret" not in result.stdout
    expected = {"Traceback": "stderr", "py.warnings": "py.warnings", "botocore": "botocore", "pydantic": "crashed"}
    assert expected.get(kind, kind) in {line["event"] for line in lines} | {line.get("logger") for line in lines}


def test_exposition_is_prometheus_or_openmetrics_with_exemplars(recorded) -> None:
    with recorded.tracer.start_as_current_span("a") as span:
        trace_id = format(span.get_span_context().trace_id, "032x")
        metrics.TASK_SECONDS.labels("face").observe(0.3, metrics.exemplar())
    plain, plain_type = metrics.exposition("")
    assert plain_type.startswith("text/plain")
    assert b"lipstage_stage_duration_seconds_bucket" in plain
    body, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    exemplars = [
        sample.exemplar.labels["trace_id"]
        for sample in families["lipstage_stage_duration_seconds"].samples
        if sample.exemplar
    ]
    assert trace_id in exemplars


def test_every_metric_has_the_lipstage_prefix() -> None:
    own = [value for value in vars(metrics).values() if hasattr(value, "_documentation")]
    own += metrics.FROM_WORKERS.values()
    assert len(own) > 10
    assert all(metric._name.startswith("lipstage_") for metric in own)
    assert all(name.endswith("_total") and f"lipstage_{name}" in REGISTRY._names_to_collectors
               for name in metrics.FROM_WORKERS)  # fmt: skip


def test_log_line_is_printable_ascii(monkeypatch: pytest.MonkeyPatch, lines) -> None:
    evil = "\x1b]0;x\x07\x9b2J\x7f\u202e\u2028\r\nname"
    structlog.get_logger().warning(evil, job=evil, **{evil: evil})
    logging.getLogger("library").error("%s", evil)
    for line in lines():
        assert line["event"] == evil
    text = logs._one_line({"a": evil})
    assert text.isascii()
    assert text.isprintable()
