"""Dead letters on the real broker: key, value and headers of the record, byte for byte, as a consumer reads them."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from shared.messages.codes import Code
from shared.messages.dead_letters import split
from shared.messages.headers import DLQ
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.kafka_config import producer_config
from shared.runtime.producers import Producers
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.telemetry import clients, tracing
from tests.conftest import Infrastructure, create_topics

POISON = FailureReason(Code.POISON, "poison", "unreadable")
TRACEPARENT = ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
Headers = list[tuple[str, bytes | None]]
KEYS = {"null key": None, "empty key": b"", "key that is not UTF-8": b"\xff\x00\xfe"}
VALUES = {"null value": None, "empty value": b"", "value that is not UTF-8": b"\x80\x00{\xff"}
HEADERS: dict[str, Headers] = {
    "none": [],
    "not UTF-8": [TRACEPARENT, ("x", b"\xff\xfe\x00")],
    "duplicate": [("x", b"1"), TRACEPARENT, ("x", b"2"), ("x", b"1")],
    "null and empty": [("x", None), ("y", b""), TRACEPARENT],
    "two of the sender's traceparents": [TRACEPARENT, TRACEPARENT],
    "names in other case, and not ASCII": [("TraceParent", b"t"), ("CE_ID", b"a"), ("ce_id", b"b"), ("é", b"c")],
    "headers of a dead letter": [(f"{DLQ}topic", b"render.other"), (f"{DLQ}offset", None), ("x", b"1")],
}


@pytest.fixture
def settings(stack: Infrastructure, topic_prefix: str) -> RuntimeSettings:
    settings = RuntimeSettings(topic_prefix=topic_prefix)
    create_topics(settings)
    return settings


@pytest.fixture
def producers(settings: RuntimeSettings) -> Iterator[Producers]:
    """With a traced producer beside the raw one, as a service has them."""
    config = producer_config(settings, "face")
    traces = tracing.setup("face", "1")
    made = Producers(clients.traced_producer(traces, config), clients.raw_producer(config))
    with traces.tracer.start_as_current_span("process render.face"):
        yield made
    made.close()
    traces.shutdown()


def read(settings: RuntimeSettings, partition: int, offset: int) -> Any:
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": uuid.uuid4().hex})
    try:
        consumer.assign([TopicPartition(settings.topic("render.dlq"), partition, offset)])
        message = consumer.poll(60)
    finally:
        consumer.close()
    assert message is not None
    assert message.error() is None
    return message


def test_every_combination_is_byte_identical(settings: RuntimeSettings, producers: Producers) -> None:
    combinations = [(k, v, h) for k in KEYS for v in VALUES for h in HEADERS]
    for key, value, name in combinations:
        record = Record("render.face", 3, 41, KEYS[key], VALUES[value], HEADERS[name], 1234)
        sent = send_dead_letter(
            producers, settings.topic_prefix, record, POISON, stage="face", group="lipstage.face", attempts=1
        )
        message = read(settings, sent.partition, sent.offset)
        original, fields = split(message.headers())
        case = f"{key}, {value}, {name}"
        assert message.key() == KEYS[key], case
        assert message.value() == VALUES[value], case
        assert original == HEADERS[name], case
        assert (fields["topic"], fields["partition"], fields["offset"]) == ("render.face", "3", "41"), case
        assert fields["traceparent"].startswith("00-"), case
