"""Notices of stored chunks: what they say, that they come in order, and that no failure of theirs concerns a render."""

import json
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

import pytest

from shared.messages.chunk_notice import ChunkNotice
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask
from shared.runtime.consume.notice_reader import NoticeReader
from shared.runtime.execute.chunk_notices import ChunkNotices, Destination
from shared.runtime.failures import TopicMissing
from shared.runtime.kafka_config import reader_config
from shared.runtime.settings import RuntimeSettings
from shared.slot.artifacts import ArrayArtifact
from shared.storage.manifest import Chunk
from shared.telemetry import clients
from tests.conftest import Infrastructure
from tests.runtime import real_stage
from tests.runtime.memory import MemoryProducers
from tests.runtime.real_stage import RealStage

ATTEMPT = "0" * 32
CHUNK = Chunk(ref=ArtifactRef(key="jobs/default/j/infer/a/frames-00000.bin", sha256="0" * 64, size=1), frames=1)
SPEC = real_stage.spec(outputs={"frames": ArrayArtifact("uint8", ("frames",), "I420", format="raw", chunked=True)})


@pytest.fixture
def stage(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealStage]:
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    one = RealStage(topic_prefix, tmp_path, spec=SPEC)
    yield one
    one.close()


def notices(producer: Any, route: Any = lambda _: Destination("render.encode", 3)) -> ChunkNotices:
    return ChunkNotices("infer", real_stage.task(""), ATTEMPT, "render.chunks", producer, route)


def sent(producer: MemoryProducers) -> list[ChunkNotice]:
    return [ChunkNotice.parse(value or b"") for topic, value, _ in producer.records if topic == "render.chunks"]


def test_first_notice_has_the_task_and_all_name_one_place() -> None:
    producer, places = MemoryProducers([]), iter(range(9))
    made = notices(producer, lambda _: Destination("render.encode", next(places)))
    made.stored("frames", 0, CHUNK, "raw")
    made.progress(1, 4)
    made.stored("frames", 1, CHUNK, "raw")
    first, second = sent(producer)
    assert isinstance(first.task, RenderTask)
    assert second.task is None
    assert {first.partition, second.partition} == {0}
    assert made.destination == Destination("render.encode", 0)
    assert first.remaining_s is None, "no pace is known yet"
    assert second.remaining_s is not None


def test_failing_notices_end_and_the_render_goes_on() -> None:
    def missing(_: RenderTask) -> Destination:
        raise TopicMissing("no such topic")

    producer = MemoryProducers([])
    made = notices(producer, missing)
    for index in range(3):
        made.stored("frames", index, CHUNK, "raw")
    assert sent(producer) == []
    assert made.destination is None, "the task goes where the router sends it"


def test_notices_that_the_broker_refuses_end() -> None:
    producer = MemoryProducers([], errors={"render.chunks": TopicMissing("no such topic")})
    made = notices(producer)
    for index in range(3):
        made.stored("frames", index, CHUNK, "raw")
    assert [notice.index for notice in sent(producer)] == [0]


def test_chunks_are_announced_in_order_and_the_task_goes_to_the_announced_place(stage: RealStage) -> None:
    partitions: list[int] = []
    send_task = stage.producers.send_task

    def recorded(topic: str, key: str, value: bytes, headers: Any, partition: int) -> Any:
        partitions.append(partition)
        return send_task(topic, key, value, headers, partition)

    stage.producers.send_task = recorded  # type: ignore[method-assign]
    stage.submit(real_stage.task("upload")).result(60)
    values = [json.loads(value) for topic, value in stage.producers.sent if topic.endswith("render.chunks")]
    assert [value["index"] for value in values] == list(range(6))
    assert {value["partition"] for value in values} == set(partitions)
    assert stage.dead_letters() == []


def test_reader_passes_on_what_is_sent_from_now_on(stage: RealStage, stack: Infrastructure) -> None:
    """Also after a record that can't be read."""
    settings = RuntimeSettings(topic_prefix=stage.prefix, bootstrap_servers=stack.bootstrap_servers)
    topic, taken, checked, stop = settings.topic("render.chunks"), Queue[ChunkNotice](), Event(), Event()
    config = reader_config(settings, "test", "test") | {"auto.offset.reset": "latest"}
    reader = NoticeReader(lambda: clients.raw_consumer(config), topic, taken.put, checked.set)
    thread = Thread(target=reader.run, args=(stop,))
    thread.start()
    try:
        assert checked.wait(30)
        made = ChunkNotices(
            "infer", real_stage.task(""), ATTEMPT, topic, stage.producers, lambda _: Destination("t", 0)
        )
        index = 0
        while taken.empty():  # The reader's position is not known from outside: it begins at some notice.
            stage.producers.send(topic, b"k", b"\xff", []).wait()
            made.stored("frames", index, CHUNK, "raw")
            index += 1
            checked.clear()
            assert checked.wait(30)
        assert taken.get().role == "frames"
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_missing_topic_is_reported_once_and_ends_nothing(stack: Infrastructure, topic_prefix: str) -> None:
    settings = RuntimeSettings(topic_prefix=topic_prefix, bootstrap_servers=stack.bootstrap_servers)
    checks, stop = Queue[None](), Event()
    reader = NoticeReader(
        lambda: clients.raw_consumer(reader_config(settings, "test", "test")),
        settings.topic("render.chunks"),
        lambda _: None,
        lambda: checks.put(None),
    )
    thread = Thread(target=reader.run, args=(stop,))
    thread.start()
    try:
        for _ in range(3):
            checks.get(timeout=30)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
