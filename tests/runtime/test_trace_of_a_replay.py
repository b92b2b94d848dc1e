"""The traces of a job that is retried and replayed: on the real broker, with the real relay and the real client."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from shared.client import Client, Deployment
from shared.local import traces
from shared.local.trace_store import TraceStore
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Record
from shared.runtime.settings import RuntimeSettings
from shared.telemetry.tracing import setup
from tests.client.dead_letters.replaying import replayed
from tests.conftest import Infrastructure
from tests.pipeline.client import Reader
from tests.relay.harness import Retries, until
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

SENDER = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[str, TraceStore]]:
    """A trace receiver: its address, and what it has received."""
    store = TraceStore(tmp_path / "traces" / "spans.sqlite", 100)
    server = ThreadingHTTPServer(("127.0.0.1", 0), traces.handler(store))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", store
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


@pytest.fixture
def retrying(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealStage]:
    """A stage whose third attempt follows after a second, and is the last."""
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    monkeypatch.setenv("LIPSTAGE_RETRY_TIERS", "1s")
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", topic_prefix)
    one = RealStage(topic_prefix, tmp_path, max_attempts=3)
    yield one
    one.close()


def process(stage: RealStage, topic: str, value: bytes, headers: Any, offset: int = 0) -> ReadableSpan:
    """Process a record of the topic; returns its process span."""
    record = Record(topic, 0, offset, b"job", value, headers, 1_800_000_000_000)

    def work() -> None:
        if stage.worker.pid is None:
            stage.worker.start()
        stage.processor.handle(record, stage.assignment, stage.worker)

    stage._thread.submit(work).result(60)
    return spans(stage, "process ")[-1]


def spans(stage: RealStage, name: str) -> list[ReadableSpan]:
    stage._tracing.provider.force_flush()
    return [span for span in stage.spans.get_finished_spans() if span.name.startswith(name)]


def links(span: ReadableSpan) -> list[tuple[str, int]]:
    return [(str((link.attributes or {})["link.kind"]), link.context.span_id) for link in span.links]


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Trace and parent."""
    return span.context.trace_id, span.parent.span_id if span.parent else 0


def test_retry_stays_in_the_trace_and_replay_begins_a_linked_one(
    retrying: RealStage,
    stack: Infrastructure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    collector: tuple[str, TraceStore],
) -> None:
    stage, topic = retrying, f"{retrying.prefix}render.face"
    address, received = collector
    relay_at_work = Retries(stack.bootstrap_servers, stage.prefix, tmp_path, tiers=("1s",))
    relay_at_work.started(OTEL_EXPORTER_OTLP_ENDPOINT=address)
    reader = Reader(stack.bootstrap_servers, topic)
    task: RenderTask = real_stage.task("fail").model_copy(update={"submit_traceparent": SENDER})

    first = process(stage, topic, task.dump(), [("traceparent", SENDER.encode())])
    assert ids(first) == (int("a" * 32, 16), int("b" * 16, 16))
    assert links(first) == [("sender", int("b" * 16, 16))]
    expected = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": "group",
    }
    assert {key: (first.attributes or {}).get(key) for key in expected} == expected
    assert first.kind is SpanKind.CONSUMER
    assert spans(stage, "render") == [], "the job goes on"

    (returned,) = until(reader.rest, "the relay sends the record back")
    trace_id = f"{first.context.trace_id:032x}"
    (relayed,) = until(lambda: received.trace(trace_id), "the relay exports its span")
    assert relayed.name == f"process {stage.prefix}render.retry.1s"
    assert relayed.parent_id == f"{first.context.span_id:016x}"
    assert [link["span_id"] for link in relayed.links] == [relayed.parent_id]

    second = process(stage, topic, returned.value() or b"", returned.headers() or [])
    assert ids(second) == (first.context.trace_id, first.context.span_id)
    assert links(second) == [("previous_attempt", first.context.span_id)]
    (failed,) = spans(stage, "render")
    assert ids(failed) == (first.context.trace_id, int("b" * 16, 16))
    assert (failed.attributes["attempts"], failed.attributes["replays"]) == (3, 0)

    client = Client(Deployment(RuntimeSettings(topic_prefix=stage.prefix)))
    exporter = InMemorySpanExporter()
    monkeypatch.setitem(client.connection.__dict__, "tracing", setup("cli", "1", exporter))
    _, done = replayed(client, force=True)
    assert (done.sent, done.failed, done.refused) == (1, 0, 0)
    client.connection.tracing.provider.force_flush()
    (replay,) = exporter.get_finished_spans()
    assert replay.parent is None
    assert replay.context.trace_id != first.context.trace_id
    assert links(replay) == [("replay_of", second.context.span_id)]

    (again,) = until(reader.rest, "the replay")
    third = process(stage, topic, again.value() or b"", again.headers() or [])
    assert ids(third) == (replay.context.trace_id, replay.context.span_id)
    assert links(third) == [("sender", replay.context.span_id), ("replay_of", int("b" * 16, 16))]

    (after_replay,) = until(reader.rest, "the relay sends the replay's record back")
    fourth = process(stage, topic, after_replay.value() or b"", after_replay.headers() or [])
    assert ids(fourth) == (replay.context.trace_id, third.context.span_id)
    assert links(fourth)[0] == ("previous_attempt", third.context.span_id)
    _, failed_again = spans(stage, "render")
    assert failed_again.context.trace_id == replay.context.trace_id, "the summary of a replay is in its own trace"
    assert failed_again.context.span_id != failed.context.span_id
    assert failed_again.attributes["replays"] == 1
    assert {span.context.trace_id for span in spans(stage, "")} == {first.context.trace_id, replay.context.trace_id}
    client.close()
    reader.close()
    relay_at_work.close()
