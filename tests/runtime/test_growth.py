"""Topics that grow, are deleted, or hold malformed records while services run."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from shared.runtime.consume.cancellations import Cancellations
from shared.runtime.kafka_config import METADATA_REFRESH_S, producer_config, reader_config
from shared.runtime.producers import Producers
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

WAIT_S = 60


class Topic:
    """A new topic of the real broker."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.settings = RuntimeSettings(bootstrap_servers=bootstrap_servers)
        self.name = f"growing-{uuid.uuid4().hex[:8]}"
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "topic.metadata.refresh.interval.ms": 100})

    def create(self, partitions: int) -> None:
        def created() -> bool:
            (future,) = self._admin.create_topics([NewTopic(self.name, partitions, 1)]).values()
            return future.exception(WAIT_S) is None

        until(created, "the topic exists")

    def delete(self) -> None:
        for future in self._admin.delete_topics([self.name], operation_timeout=WAIT_S).values():
            future.result(WAIT_S)
        until(lambda: self.name not in self._admin.list_topics(timeout=WAIT_S).topics, "the topic is deleted")

    def grow(self, partitions: int) -> None:
        for future in self._admin.create_partitions([NewPartitions(self.name, partitions)]).values():
            future.result(WAIT_S)
        until(
            lambda: (
                len(self._producer.list_topics(self.name, timeout=WAIT_S).topics[self.name].partitions) == partitions
            ),
            "the topic has grown",
        )

    def cancel(self, job: str, partition: int, value: bytes | None = b"{}", key: bytes | None = None) -> None:
        self._producer.produce(self.name, value, key or job.encode(), partition, headers=[("h", b"\xff")])
        assert self._producer.flush(WAIT_S) == 0


def until(true: Callable[[], bool], what: str) -> None:
    turn = threading.Event()
    for _ in range(WAIT_S * 20):
        if true():
            return
        turn.wait(0.05)
    raise AssertionError(what)


@pytest.fixture
def topic(stack: Infrastructure) -> Topic:
    return Topic(stack.bootstrap_servers)


class Reader:
    """The cancel reader of a service, which looks for new partitions several times a second."""

    def __init__(self, topic: Topic) -> None:
        self.failures: list[str] = []
        config = reader_config(topic.settings, "test", "test.cancel") | {"statistics.interval.ms": 200}
        consumer = Consumer(config | {"stats_cb": lambda text: self.cancellations.statistics(text)})
        self.cancellations = Cancellations(consumer, topic.name, self.failures.append, refresh_s=0.2)
        self.cancellations.start()

    def hears(self, job: str, tenant: str = "default") -> None:
        until(lambda: self.cancellations.has(tenant, job), f"the cancel of {job} is heard")


@pytest.fixture
def reader(topic: Topic) -> Iterator[Reader]:
    made = Reader(topic)
    yield made
    made.cancellations.close()
    assert made.failures == []


def test_cancel_on_a_new_partition_is_read(topic: Topic, reader: Reader) -> None:
    topic.create(1)
    topic.cancel("first", 0)
    reader.hears("first")
    topic.grow(3)
    topic.cancel("second", 2)
    topic.cancel("third", 1)
    topic.cancel("fourth", 0)
    for job in ("second", "third", "fourth"):
        reader.hears(job)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\xff\xfe\x00",
        b'{"tenant": {"a": []}}',
        b'{"tenant": ' + b"9" * 10_000 + b"}",
        b'"\\ud800"',
        b"",
        json.dumps({"tenant": "x" * 900_000}).encode(),
    ],
    ids=lambda value: value[:9].decode(errors="replace"),
)
def test_no_record_ends_the_cancel_reader(topic: Topic, reader: Reader, value: bytes) -> None:
    topic.create(1)
    topic.cancel("bad", 0, value)
    topic.cancel("bad", 0, value, key=b"\xff\x00\xff")
    topic.cancel("good", 0)
    reader.hears("good")


def test_recreated_cancel_topic_is_followed(topic: Topic, reader: Reader) -> None:
    topic.create(2)
    for job in ("old-1", "old-2", "old-3"):
        topic.cancel(job, 0)
        reader.hears(job)
    topic.delete()
    topic.create(2)
    topic.cancel("second", 0)
    topic.cancel("third", 1)
    reader.hears("second")
    reader.hears("third")


def test_new_reader_knows_earlier_cancels(topic: Topic) -> None:
    topic.create(2)
    topic.cancel("first", 1, b'{"tenant": "acme"}')
    reader = Reader(topic)
    reader.hears("first", "acme")
    reader.cancellations.close()
    assert not reader.cancellations.has("default", "first")
    assert reader.failures == []


def test_stalled_partition_ends_the_service(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    topic.create(1)
    reader = Reader(topic)
    topic.cancel("first", 0)
    reader.hears("first")
    monkeypatch.setattr(
        reader.cancellations._fetch_stall, "stalled", lambda states: f"{topic.name} is stalled in {states}"
    )
    until(lambda: bool(reader.failures), "the failure is reported")
    assert reader.failures[0].startswith("cancels can't be read: ")
    assert f"('{topic.name}', '0'): 'active'" in reader.failures[0]
    reader.cancellations.close()


def test_dead_reader_is_reported(topic: Topic) -> None:
    topic.create(1)

    class Broken:
        def __getattr__(self, name: str) -> object:
            if name == "close":
                return lambda: None
            raise SystemError("the client is broken")

    failures: list[str] = []
    cancellations = Cancellations(Broken(), topic.name, failures.append)
    cancellations.start()
    until(lambda: bool(failures), "the failure is reported")
    assert failures == ["the thread cancellations failed: SystemError: the client is broken"]


def test_tasks_are_sent_to_new_partitions_of_the_next_topic(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sending producer provides the partition count, because it refuses a partition that it does not know."""
    monkeypatch.setattr("shared.runtime.producers.METADATA_REFRESH_S", 0.0)
    topic.create(1)
    # As in a long-lived service, only the request itself makes the producer refresh its metadata.
    config = producer_config(topic.settings, "test") | {"topic.metadata.refresh.interval.ms": 3_600_000}
    producers = Producers(Producer(config), Producer(config))
    assert producers.partitions(topic.name) == 1
    producers.send_task(topic.name, "job", b"value", [], 0).wait()
    topic.grow(3)
    until(lambda: producers.partitions(topic.name) == 3, "the new count is known")
    producers.send_task(topic.name, "job", b"value", [], 2).wait()
    producers.close()


def test_every_client_refreshes_metadata_within_half_a_minute(topic: Topic) -> None:
    assert METADATA_REFRESH_S <= 30
    for config in (producer_config(topic.settings, "a"), reader_config(topic.settings, "a", "b")):
        assert config["topic.metadata.refresh.interval.ms"] == METADATA_REFRESH_S * 1000


def test_partition_error_makes_the_reader_reassign() -> None:
    cancellations = Cancellations(None, "render.cancel")
    cancellations._on_error(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert cancellations._assign_again
