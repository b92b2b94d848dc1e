"""The Collector, where one is found: which traces it keeps, and what it lets through of a service that redacts nothing.

Its decisions are made after a second here instead of fifteen minutes.
"""

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from shared.local import ports, readiness
from shared.local.settings import LocalSettings
from shared.local.trace_store import StoredSpan
from tests.conftest import ROOT, Infrastructure
from tests.deploy.test_observability_run import get, until

DECISION_S = 1
KEPT: dict[str, dict[str, AnyValue]] = {
    "retried": {"attempt": AnyValue(int_value=2)},
    "replayed": {"replays": AnyValue(int_value=1)},
    "slow": {"render.slow": AnyValue(bool_value=True)},
    "drift": {"audio.drift_ms": AnyValue(int_value=101)},
}
USUAL = {
    "attempt": AnyValue(int_value=1),
    "replays": AnyValue(int_value=0),
    "render.slow": AnyValue(bool_value=False),
    "audio.drift_ms": AnyValue(int_value=100),
}
"""What no policy but the last asks for."""
ORDINARY = 200
CANARY = "canary-7f3a"


@pytest.fixture(scope="module")
def collector(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Collector that exports to the session's trace receiver."""
    named = LocalSettings().collector_bin
    program = str(named) if named else shutil.which("otelcol-contrib")
    if program is None:
        pytest.skip("otelcol-contrib is not on PATH, and LIPSTAGE_COLLECTOR_BIN is not set")
    folder = tmp_path_factory.mktemp("collector")
    grpc, http, health, metrics = ports.pick(4)
    environment = os.environ | {
        "COLLECTOR_OTLP_GRPC_PORT": str(grpc),
        "COLLECTOR_OTLP_PORT": str(http),
        "COLLECTOR_HEALTH_PORT": str(health),
        "COLLECTOR_METRICS_PORT": str(metrics),
        "COLLECTOR_DECISION_WAIT": f"{DECISION_S}s",
        "COLLECTOR_DATA": str(folder),
        "TEMPO_OTLP_URL": stack.stack.traces_url,
    }
    command = [program, f"--config={ROOT / 'deploy' / 'collector' / 'collector.yaml'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: readiness.serves(health, "/"), f"the Collector starts: {folder / 'log'}")
            yield f"http://{ports.HOST}:{http}"
        finally:
            process.terminate()
            process.wait(30)


def send(collector: str, attributes: dict[str, AnyValue], failed: bool = False) -> str:
    """Export a trace of one span; returns its id."""
    span = Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name="render",
        start_time_unix_nano=time.time_ns() - 10**9,
        end_time_unix_nano=time.time_ns(),
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else Status(),
        attributes=[KeyValue(key=key, value=value) for key, value in (USUAL | attributes).items()],
    )
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="encode")))
    resource.resource.attributes.append(KeyValue(key="host.name", value=AnyValue(string_value=CANARY)))
    resource.scope_spans.add().spans.append(span)
    headers = {"Content-Type": "application/x-protobuf"}
    post = urllib.request.Request(f"{collector}/v1/traces", data=request.SerializeToString(), headers=headers)
    urllib.request.urlopen(post, timeout=10).close()
    return span.trace_id.hex()


def received(stack: Infrastructure, trace: str) -> list[StoredSpan]:
    return [StoredSpan(**span) for span in get(f"{stack.stack.traces_url}/traces/{trace}")]


def test_traces_that_need_explaining_are_kept(collector: str, stack: Infrastructure) -> None:
    wanted = {name: send(collector, attributes) for name, attributes in KEPT.items()}
    wanted["error"] = send(collector, {}, failed=True)
    for name, trace in wanted.items():
        until(lambda trace=trace: bool(received(stack, trace)), name)


def test_about_5_percent_of_the_others_are_kept(collector: str, stack: Infrastructure) -> None:
    """At most 30 of 200: more has a probability below 1e-7."""
    traces = [send(collector, {}) for _ in range(ORDINARY)]
    marker = send(collector, KEPT["slow"])  # Sent last, so decided last.
    until(lambda: bool(received(stack, marker)), "the decisions are made")
    kept = [trace for trace in traces if received(stack, trace)]
    assert len(kept) <= 30


def test_what_is_not_on_the_list_does_not_pass(collector: str, stack: Infrastructure, tmp_path: Path) -> None:
    trace = send(collector, {
        **KEPT["slow"],
        "portrait.path": AnyValue(string_value=f"/home/{CANARY}/me.jpg"),
        "exception.message": AnyValue(string_value=f"no such file: /home/{CANARY}/me.jpg, ask {CANARY}@example.org"),
    })  # fmt: skip
    until(lambda: bool(received(stack, trace)), "the trace arrives")
    (span,) = received(stack, trace)
    assert CANARY not in repr(span)
    assert span.attributes["audio.drift_ms"] == 100
    assert span.service == "encode"
