"""Background work of services: commits of idle groups, and reading cancel commands."""

import uuid

import pytest
from confluent_kafka import Producer

from shared.local.status import status
from shared.messages.pipeline import STAGES
from tests.pipeline.client import Client
from tests.pipeline.conftest import Pipeline, spoken
from tests.pipeline.service_metrics import total
from tests.pipeline.test_kills import parent
from tests.pipeline.test_service import probe

WAIT_S = 60
HOSTILE = [b"[" * 200_000, b'{"a":' * 50_000, b"\xff\xfe", b'{"tenant": ' + b"9" * 10_000 + b"}", b'{"tenant": []}']


def test_transactional_producer_leaves_no_lag(pipeline: Pipeline, client: Client) -> None:
    """Transaction markers and aborted records follow the last record of every partition."""
    producer = Producer(
        {"bootstrap.servers": pipeline.stack.bootstrap_servers, "transactional.id": f"test-{uuid.uuid4().hex}"}
    )
    producer.init_transactions(WAIT_S)
    jobs = []
    for number, topic in enumerate(("render.requests", "render.requests", "render.face", "render.encode")):
        producer.begin_transaction()
        if topic == "render.requests" and number == 0:
            jobs.append(uuid.uuid4().hex)
            producer.produce(topic, b"{}", jobs[-1], 3)
        else:
            for partition in range(4):
                producer.produce(topic, b"{}", b"never", partition)
        producer.flush(WAIT_S)
        (producer.commit_transaction if number == 0 else producer.abort_transaction)(WAIT_S)
    (end,) = client.wait(jobs)
    assert end.type == "rejected"
    settings = pipeline.infrastructure.settings

    def idle() -> bool:
        lags = {part.name: part.lag for part in status(settings) if part.kind == "service"}
        return set(lags.values()) == {0}

    client.until(idle, WAIT_S)
    for service in pipeline.stack.services:
        client.until(lambda port=service.health_port: total(port, "lipstage_consumer_lag") == 0, WAIT_S)  # type: ignore[misc]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:9].decode(errors="replace"))
def test_unreadable_cancel_does_not_hide_others(
    client: Client, pipeline: Pipeline, portrait: str, value: bytes
) -> None:
    before = {stage: parent(pipeline, stage) for stage in STAGES}
    for partition in range(4):
        client.produce("render.cancel", value, b"any", partition=partition)
    job = uuid.uuid4().hex
    client.produce("render.cancel", b"{}", job)
    client.submit(portrait, client.upload(spoken(5.0)), job=job, params={"min_resolution": 512})
    (end,) = client.wait([job])
    assert (end.type, end.body["code"]) == ("failed", "CANCELLED")
    assert {stage: parent(pipeline, stage) for stage in STAGES} == before, "the same processes continue"
    for service in pipeline.stack.services:
        assert probe(service.health_port, "/livez") == (200, {"ok": True, "reason": None})
