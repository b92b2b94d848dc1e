"""The relay under faults: kills, rebalances, wrong clocks, records that can't return."""

import json
import os
import signal
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from shared.messages.codes import Code
from shared.messages.delivery_headers import RETRY_TOPIC
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from tests.relay.harness import Reader, Retries, until
from tests.relay.test_relay import early

WRONG_CLOCK = """
import pathlib, time
real, real_ns, file = time.time, time.time_ns, pathlib.Path(__file__).with_name("offset")
time.time = lambda: real() + float(file.read_text())
time.time_ns = lambda: real_ns() + int(float(file.read_text()) * 1e9)
file.with_name("started").write_text(str(time.time()))
"""
"""A `sitecustomize` of the relay's process. libfaketime would stop librdkafka, whose waits are by the wall clock."""


def assert_each_once(reader: Reader, retries: Retries) -> None:
    """Where the broker threw a relay out of the group that can't be told."""
    most = Counter(one.value for one in reader.records).most_common(1)[0][1]
    if most > 1 and any("partitions_lost" in relay.log.read_text() for relay in retries.relays):
        pytest.skip("the machine was too busy for the heartbeats of a relay")
    assert most == 1


def values(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize(("offset_s", "then_s"), [(3600, 3600), (-3600, -3600), (3600, -3600), (-3600, 3600)])
def test_wrong_clock_makes_nothing_early_or_late(retries: Retries, tmp_path: Path, offset_s: int, then_s: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    (tmp_path / "offset").write_text(str(offset_s))
    retries.started(PYTHONPATH=str(tmp_path))
    assert abs(float((tmp_path / "started").read_text()) - time.time() - offset_s) < 600, "the clock is wrong"
    for value in values(20):
        retries.put("2s", value)
    retries.flush()
    (tmp_path / "offset").write_text(str(then_s))
    returned = retries.reader("render.face").wait(20)
    retried = retries.reader("render.retry.2s").wait(20)
    assert early(retried, returned) == []


def test_kill_loses_nothing(retries: Retries) -> None:
    relay = retries.started()
    for value in values(3000):
        retries.put("1s", value)
    retries.flush()
    reader = retries.reader("render.face")
    until(lambda: len(reader.read(0.0)) >= 1, "the first record returned")
    relay.stop(signal.SIGKILL)
    retries.start()
    until(lambda: len({one.value for one in reader.read()}) == 3000, "every record returned")
    assert early(retries.reader("render.retry.1s").wait(3000), reader.records) == []


def test_stop_in_the_middle_sends_nothing_twice(retries: Retries) -> None:
    relay = retries.started()
    for value in values(3000):
        retries.put("1s", value)
    retries.flush()
    reader = retries.reader("render.face")
    until(lambda: len(reader.read(0.0)) >= 1, "the first record returned")
    assert relay.stop() == 0
    retries.start()
    until(lambda: len({one.value for one in reader.read()}) == 3000, "every record returned")
    assert_each_once(reader, retries)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_replicas_that_join_and_leave_send_each_record_once(retries: Retries, protocol: str) -> None:
    first = retries.started(LIPSTAGE_GROUP_PROTOCOL=protocol)
    for value in values(600):
        retries.put(("1s", "2s")[int(value) % 2], value)
        if int(value) == 200:
            second = retries.start(LIPSTAGE_GROUP_PROTOCOL=protocol)
        if int(value) % 50 == 0:
            retries.flush()
    until(second.is_ready, "the second relay is ready")
    for value in values(900)[600:]:
        retries.put("2s", value)
    retries.flush()
    assert first.stop() == 0
    reader = retries.reader("render.face")
    until(lambda: len({one.value for one in reader.read()}) == 900, "every record returned")
    assert_each_once(reader, retries)
    assert early(retries.reader("render.retry.1s", "render.retry.2s").wait(900), reader.records) == []


def test_relay_that_stood_still_sends_nothing_for_its_successor(retries: Retries) -> None:
    """A relay that is stopped beyond its session, and then continues, holds due records that others have sent."""
    first = retries.started()
    for value in values(50):
        retries.put("20s", value)
    retries.flush()
    until(lambda: first.metric('lipstage_retries_waiting{tier="20s"}') == 50, "the first relay has read them")
    first.process.send_signal(signal.SIGSTOP)
    retries.started()
    reader = retries.reader("render.face")
    until(lambda: len({one.value for one in reader.read()}) == 50, "the second relay sent them")
    first.process.send_signal(signal.SIGCONT)
    until(first.is_ready, "the first relay is back")
    retries.put("1s", b"later")
    retries.flush()
    until(lambda: b"later" in {one.value for one in reader.read()}, "the group works")
    assert Counter(one.value for one in reader.records).most_common(1)[0][1] == 1


def task(engine: str = "puppet") -> RenderTask:
    ref = InputRef(key="default/x")
    request = RenderRequest(portrait=ref, speech=ref)
    return RenderTask(job_id=uuid.uuid4().hex, request_id="r", request=request, submitted_ms=1)


def dlq(headers: object) -> dict[str, str]:
    return {n.removeprefix("__dlq.errors."): v.decode() for n, v in headers if n.startswith("__dlq")}  # type: ignore[attr-defined]


def test_record_that_names_no_topic_of_a_stage_becomes_a_dead_letter_and_ends_its_job(retries: Retries) -> None:
    retries.started()
    tasks = [task() for _ in range(6)]
    prefix = retries.prefix.encode()
    targets = [None, b"", b"render.face", prefix + b"render.dlq", prefix + b"render.retry.1s", b"\xff" * 300]
    hostile = [
        [("x", b"\xff"), ("x", None), *([(RETRY_TOPIC, target)] if target is not None else [])] for target in targets
    ]
    for one, headers in zip(tasks, hostile, strict=True):
        retries.put("1s", one.dump(), headers, partition=0)
    retries.put("1s", b"garbage", [], None, partition=0)
    retries.put("1s", b"good", partition=0)
    retries.flush()
    assert [one.value for one in retries.reader("render.face").wait(1)] == [b"good"]
    letters = retries.reader("render.dlq").wait(7)
    assert {one.value for one in letters} == {b"garbage", *(one.dump() for one in tasks)}
    assert [
        list(one.headers)[: len(sent)]
        for one in letters
        for sent in hostile
        if one.value == tasks[hostile.index(sent)].dump()
    ] == [sent for one in letters for sent in hostile if one.value == tasks[hostile.index(sent)].dump()]
    for one in letters:
        assert (dlq(one.headers)["code"], dlq(one.headers)["stage"]) == (Code.POISON, "relay")
    events = [json.loads(one.value or b"") for one in retries.reader("render.events").wait(6)]
    assert {(e["type"], e["code"], e["job_id"]) for e in events} == {("failed", "POISON", one.job_id) for one in tasks}


def test_record_of_an_engine_that_is_switched_off_becomes_a_dead_letter(retries: Retries) -> None:
    retries.started()
    waiting = task()
    retries.put("1s", waiting.dump(), retries.headers("render.infer.sonic"), partition=0)
    retries.put("1s", b"good", partition=0)
    retries.flush()
    (letter,) = retries.reader("render.dlq").wait(1)
    assert (dlq(letter.headers)["code"], letter.value) == (Code.ENGINE_UNAVAILABLE, waiting.dump())
    assert retries.reader("render.face").wait(1)[0].value == b"good"


def test_missing_topic_of_every_job_is_waited_for(retries: Retries) -> None:
    relay = retries.started()
    name = f"{retries.prefix}render.encode"
    for future in retries.admin.delete_topics([name], operation_timeout=30).values():
        future.result(30)
    until(lambda: name not in retries.admin.list_topics(timeout=30).topics, "the topic is deleted")
    retries.put("1s", b"waits", retries.headers("render.encode"))
    retries.flush()
    until(lambda: name in (relay.probe() or ""), "the relay says what is missing")
    for future in retries.admin.create_topics([NewTopic(name, 2, 1)]).values():
        future.result(30)
    until(relay.is_ready, "the relay is ready again")
    assert retries.reader("render.encode").wait(1)[0].value == b"waits"


def test_record_that_is_too_large_for_its_topic_becomes_a_dead_letter(retries: Retries) -> None:
    retries.started()
    limit = ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ConfigResource.Type.TOPIC, f"{retries.prefix}render.encode", incremental_configs=[limit])
    for future in retries.admin.incremental_alter_configs([topic]).values():
        future.result(30)
    retries.put("1s", os.urandom(200_000), retries.headers("render.encode"), partition=0)
    retries.put("1s", b"good", partition=0)
    retries.flush()
    (letter,) = retries.reader("render.dlq").wait(1)
    assert (dlq(letter.headers)["code"], dlq(letter.headers)["exception.class"]) == (Code.INTERNAL, "RecordRefused")
    assert retries.reader("render.face").wait(1)[0].value == b"good"
