"""A retry on the real broker: the record byte for byte, one trace from attempt to attempt."""

from typing import Any

import pytest
from opentelemetry.trace import format_span_id, format_trace_id

from shared.messages.delivery_headers import RETRY_CODE, RETRY_TOPIC, read_delivery, without
from shared.messages.events import Retrying
from tests.conftest import Infrastructure
from tests.pipeline.client import Reader
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

SENDER = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
KEPT: list[tuple[str, bytes | None]] = [("x", b"\xff\x00"), ("x", None), ("x", b""), ("y", b"z" * 1000)]


def processing(stage: RealStage) -> Any:
    """The newest process span."""
    stage._tracing.provider.force_flush()
    return [span for span in stage.spans.get_finished_spans() if span.name.startswith("process ")][-1]


@pytest.mark.parametrize("key", [None, b"\xff"])
def test_retry_is_the_record_byte_for_byte_and_the_next_attempt_continues_its_trace(
    stage: RealStage, stack: Infrastructure, key: bytes | None
) -> None:
    stage.submit(real_stage.task("record nothing")).result(60)  # The topics have leaders.
    reader = Reader(stack.bootstrap_servers, f"{stage.prefix}render.retry.10s")
    task = real_stage.task("fail")
    stage.submit(task, [*KEPT[:2], ("traceparent", SENDER), *KEPT[2:]], key).result(60)
    first = processing(stage)
    (message,) = reader.rest()
    assert (message.key(), message.value()) == (key, task.dump())
    headers = message.headers()
    assert headers[: len(KEPT)] == KEPT
    span = first.get_span_context()
    expected = f"00-{format_trace_id(span.trace_id)}-{format_span_id(span.span_id)}-01".encode()
    assert [value for name, value in headers if name.lower() == "traceparent"] == [expected]
    assert read_delivery(headers).attempt == 3

    event = stage.until("retrying")
    assert isinstance(event, Retrying)
    assert event.due_ms == message.timestamp()[1] + 10_000, "the broker's clock"

    stage.submit(task, without(headers, (RETRY_TOPIC, RETRY_CODE)), key).result(60)
    second = processing(stage)
    assert second.get_span_context().trace_id == span.trace_id
    assert second.parent.span_id == span.span_id
    assert [link.context.span_id for link in second.links] == [span.span_id]
    assert second.attributes["attempt"] == 3
    reader.close()
