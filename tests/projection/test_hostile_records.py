"""Records that the projection can't read, or must not, on the real broker: they stop nothing."""

import asyncio
import json
import uuid

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as producer_module
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from confluent_kafka import cimpl

from shared.client.connection import Connection
from shared.messages.topics import DLQ
from shared.messages.topics import JOBS as JOBS_TOPIC
from tests.client.services import Services, now_ms
from tests.conftest import FEW
from tests.projection.conftest import Projections, values
from tests.projection.test_lenient_records import Name

HOSTILE = (
    None,
    b"",
    b"\x00\xff\xfe",
    b"not json",
    b"[" * 50_000,
    b'{"type": "started"}',
    b'{"type": "progress", "job_id": 7, "tenant": [], "request_id": "r", "time_ms": "soon"}',
    b'{"type": "accepted", "job_id": "j", "tenant": "t", "request_id": "r", "time_ms": 1e400, "engine": "e"}',
)


def test_hostile_records_become_dead_letters_and_stop_nothing(
    deployment: Connection, services: Services, projections: Projections
) -> None:
    producer = cimpl.Producer({"bootstrap.servers": deployment.settings.bootstrap_servers})
    for topic in ("render.events", JOBS_TOPIC):
        for partition in range(4):
            for number, value in enumerate(HOSTILE):
                producer.produce(deployment.topic(topic), value, None if number % 2 else b"\xff/\x00", partition)
    later = {"type": "teleported", "job_id": "j", "tenant": "default", "request_id": "r", "time_ms": now_ms()}
    producer.produce(deployment.topic("render.events"), json.dumps(later).encode(), b"j")
    assert producer.flush(10) == 0
    services.event("accepted", "before", engine="puppet")
    running = projections.start()
    services.event("accepted", "after", engine="puppet")
    running.wait_folded()
    found = running.asked.jobs()
    assert {job.job_id for job in found} == {"before", "after"}
    letters = values(deployment, DLQ, 4 * len(HOSTILE))
    headers = [dict(letter.headers()) for letter in letters]
    assert {one["__dlq.errors.stage"] for one in headers} == {b"projection"}
    assert {one["__dlq.errors.code"] for one in headers} == {b"POISON"}
    assert sorted(one.value() or b"" for one in letters) == sorted([value or b"" for value in HOSTILE] * 4)
    # The restart reads hostile records on render.jobs as well.
    running.stop()
    again = projections.start()
    assert {job.job_id for job in again.asked.jobs()} == {"before", "after"}


def test_a_header_whose_name_is_not_utf_8_stops_nothing(
    deployment: Connection, services: Services, projections: Projections, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No client of ours can send one: aiokafka's producer does, with the builder of batches that is written in Python.
    for module in (producer_module, message_accumulator):
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.bootstrap_servers)
        await producer.start()
        for topic in ("render.events", "render.requests"):
            await producer.send_and_wait(deployment.topic(topic), b"not json", b"j", 0, headers=[(Name("x"), b"1")])
        await producer.stop()

    asyncio.run(send())
    services.event("accepted", "here", engine="puppet")
    running = projections.start()
    running.wait_folded()
    assert "here" in {job.job_id for job in running.asked.jobs()}
    (letter,) = values(deployment, DLQ, 1)
    assert "a\ufffd" in dict(letter.headers())


def test_transactions_neither_leave_lag_nor_make_jobs_of_aborted_requests(
    deployment: Connection, projections: Projections
) -> None:
    """Their markers are the last records of all partitions, and faust commits no marker. One stays open."""
    servers = deployment.settings.bootstrap_servers
    config = {"bootstrap.servers": servers, "transaction.timeout.ms": 600_000}
    producers = [cimpl.Producer({**config, "transactional.id": uuid.uuid4().hex}) for _ in range(3)]
    running = projections.start()
    for producer, job_id in zip(producers, ("committed", "aborted", "open"), strict=True):
        producer.init_transactions(30)
        producer.begin_transaction()
        event = {"type": "accepted", "job_id": job_id, "tenant": "default", "request_id": "r", "engine": "puppet"}
        for topic, value in (("render.events", event | {"time_ms": now_ms()}), ("render.requests", {})):
            for partition in range(FEW):
                producer.produce(deployment.topic(topic), json.dumps(value), job_id.encode(), partition)
        producer.flush(30)
        if job_id != "open":
            (producer.commit_transaction if job_id == "committed" else producer.abort_transaction)(30)
    running.wait_folded()
    assert [job.job_id for job in running.asked.jobs()] == ["committed"]
    running.stop()
    again = projections.start()
    again.wait_folded()
    producers[-1].commit_transaction(30)
    again.wait_until(lambda: len(again.asked.jobs()) == 2)
    again.wait_folded()
