"""The collector can't hurt the work: refused, silent or failing, it costs dropped spans, which are counted."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import REGISTRY

from shared.telemetry import tracing as module
from shared.telemetry.propagation import extract, inject
from shared.telemetry.tracing import setup
from tests.telemetry.collectors import black_hole, closed, refusing
from tests.telemetry.conftest import Recorded

ROOT = Path(__file__).resolve().parents[2]
QUEUE = 2048
"""The SDK's default; OTEL_BSP_MAX_QUEUE_SIZE changes it."""
BATCH = 512


def spans(result: str) -> float:
    return REGISTRY.get_sample_value("lipstage_telemetry_spans_total", {"result": result}) or 0.0


class Stuck(SpanExporter):
    """A collector that accepts the first batch and does not answer until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.exported = 0

    def export(self, spans):
        self.entered.set()
        self.release.wait()
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


def test_a_full_queue_drops_and_counts_and_the_work_goes_on() -> None:
    exporter, dropped, exported = Stuck(), spans("dropped"), spans("exported")
    tracing = setup("audio", "1", exporter)
    tracing.tracer.start_span("first").end()
    assert exporter.entered.wait(30), "one batch is under way"
    for _ in range(QUEUE + 100):
        tracing.tracer.start_span("work").end()
    assert not exporter.release.is_set(), "every span ended while the collector did not answer"
    assert spans("dropped") - dropped == 100
    exporter.release.set()
    tracing.provider.force_flush()
    assert exporter.exported == QUEUE + 1
    assert spans("exported") - exported == QUEUE + 1
    tracing.shutdown()


def test_spans_that_the_shutdown_leaves_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_S", 0.05)
    """Those in the queue and the batch under way, once: its late answer counts nothing."""
    exporter, dropped, exported = Stuck(), spans("dropped"), spans("exported")
    tracing = setup("audio", "1", exporter)
    tracing.tracer.start_span("first").end()
    assert exporter.entered.wait(30)
    for _ in range(7):
        tracing.tracer.start_span("work").end()
    tracing.shutdown()
    assert spans("dropped") - dropped == 8
    exporter.release.set()
    tracing.queue._batch_processor._worker_thread.join(30)
    assert (spans("dropped") - dropped, spans("exported") - exported) == (8, 0)


def test_spans_after_the_shutdown_are_counted() -> None:
    tracing, dropped = setup("audio", "1", Stuck()), spans("dropped")
    tracing.shutdown()
    tracing.tracer.start_span("late").end()
    assert spans("dropped") - dropped == 1


@pytest.mark.parametrize("collector", [closed, refusing, lambda: refusing(400)], ids=["refused", "503", "400"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_failed_export_is_counted(
    protocol: str, collector: Callable[[], AbstractContextManager[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An HTTP answer to a gRPC request is a failure, too."""
    failed, exported = spans("failed"), spans("exported")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    with collector() as port:
        tracing = setup("audio", "1", endpoint=f"http://127.0.0.1:{port}")
        tracing.tracer.start_span("work").end()
        tracing.provider.force_flush()
        tracing.shutdown()
    assert (spans("failed") - failed, spans("exported") - exported) == (1, 0)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_process_ends_soon_although_the_collector_never_answers(protocol: str) -> None:
    """The SDK alone takes 30 s. Twice the limit, for a busy machine; bench.tracing measures."""
    program = """
import time
from shared.telemetry import logs
from shared.telemetry.tracing import setup
logs.setup("audio")
tracing = setup("audio", "1")
for _ in range(3000):
    tracing.tracer.start_span("work").end()
start = time.monotonic()
tracing.shutdown()
print(time.monotonic() - start, time.monotonic())
"""
    with black_hole() as port:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                       "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}  # fmt: skip
        environment.pop("OTEL_EXPORTER_OTLP_TIMEOUT", None)
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=ROOT, timeout=120
        )
        ended = time.monotonic()  # Processes share this clock.
    assert (ran.returncode, ran.stderr) == (0, ""), "no word of the C core, no hanging thread"
    shutdown, end = map(float, ran.stdout.splitlines()[-1].split())
    assert shutdown < 2 * module.SHUTDOWN_S
    assert ended - end < 20


def two_hops(ratio: str, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The names of the exported spans of 200 traces, each over two services; empty traces are left out."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    first = Recorded()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.9")
    second = Recorded()
    for _ in range(200):
        with first.tracer.start_as_current_span("submit"):
            headers = inject()
        second.tracer.start_span("process", extract(headers)).end()
    traces: dict[int, set[str]] = {}
    for span in [*first.spans(), *second.spans()]:
        traces.setdefault(span.context.trace_id, set()).add(span.name)
    for recorder in (first, second):
        recorder.tracing.shutdown()
    return list(traces.values())


def test_head_sampling_keeps_whole_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first service decides; the sampler of the second one does not, whatever its ratio."""
    kept = two_hops("0.5", monkeypatch)
    assert 50 < len(kept) < 150
    assert all(names == {"submit", "process"} for names in kept)


@pytest.mark.parametrize(("ratio", "count"), [("0", 0), ("1", 200)])
def test_head_sampling_honours_its_argument(ratio: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(two_hops(ratio, monkeypatch)) == count
