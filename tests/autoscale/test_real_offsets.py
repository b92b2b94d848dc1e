"""The calculator on offsets of the real broker."""

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from bench.autoscale.broker_offsets import OffsetReader
from bench.autoscale.keda import KafkaScaler, Offsets, Trigger
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

WAIT_S = 60.0


class Topic:
    """A topic of this test, its group, and what they are asked."""

    def __init__(self, servers: str, name: str, partitions: int) -> None:
        self.name, self.group, self.servers = name, f"{name}-group", servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._admin.create_topics([NewTopic(name, partitions, 1)])[name].result(WAIT_S)
        self._wait_for(partitions)
        self.reader = OffsetReader(RuntimeSettings(bootstrap_servers=servers), name, self.group)

    def send(self, partition: int, count: int) -> None:
        # A new producer knows all partitions of a topic that has grown.
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})
        for _ in range(count):
            producer.produce(self.name, b"x", partition=partition)
        assert producer.flush(WAIT_S) == 0

    def commit(self, **offsets: int) -> None:
        places = [TopicPartition(self.name, int(name[1:]), offset) for name, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(self.group, places)]
        self._admin.alter_consumer_group_offsets(request)[self.group].result(WAIT_S)

    def grow(self, partitions: int) -> None:
        self._admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result(WAIT_S)
        self._wait_for(partitions)

    def _wait_for(self, partitions: int) -> None:
        """A broker answers with the new partitions a moment after it has made them."""
        while len(self._admin.list_topics(self.name, timeout=WAIT_S).topics[self.name].partitions) < partitions:
            pass


@pytest.fixture
def topic(stack: Infrastructure, topic_prefix: str) -> Iterator[Topic]:
    yield Topic(stack.bootstrap_servers, f"{topic_prefix}lag-{uuid.uuid4().hex[:6]}", 3)


def test_no_offset_yet(topic: Topic) -> None:
    topic.send(0, 4)
    assert topic.reader.read() == {0: Offsets(4), 1: Offsets(0), 2: Offsets(0)}
    assert KafkaScaler(Trigger()).poll(topic.reader.read()).metric == 3, "latest: 1 a partition, 4 records or none"
    assert KafkaScaler(Trigger(offset_reset_policy="earliest")).poll(topic.reader.read()).metric == 4
    topic.commit(p0=0, p1=0, p2=0)
    assert KafkaScaler(Trigger()).poll(topic.reader.read()).metric == 4, "with start offsets the policy is irrelevant"


def test_a_paused_consumer_keeps_its_lag(topic: Topic) -> None:
    topic.send(0, 3)
    config = {"bootstrap.servers": topic.servers, "group.id": topic.group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**config, "enable.auto.commit": False, "log_level": 0})
    try:
        consumer.subscribe([topic.name])
        while (message := consumer.poll(1.0)) is None or message.error():
            pass
        consumer.commit(message=message, asynchronous=False)
        consumer.pause(consumer.assignment())
        plain, excluding = KafkaScaler(Trigger()), KafkaScaler(Trigger(exclude_persistent_lag=True))
        readings = []
        for _ in range(2):
            assert consumer.poll(0.2) is None, "paused"
            offsets = {0: topic.reader.read()[0]}
            readings.append((plain.poll(offsets), excluding.poll(offsets)))
    finally:
        consumer.close()
    assert [(one.metric, one.active) for one, _ in readings] == [(2, True), (2, True)]
    assert [(other.metric, other.active) for _, other in readings] == [(2, True), (0, True)]


def test_idle_partitions_get_no_replica(topic: Topic) -> None:
    topic.commit(p0=0, p1=0, p2=0)
    topic.send(1, 20)
    offsets = topic.reader.read()
    assert KafkaScaler(Trigger(lag_threshold=2)).poll(offsets).metric == 6
    assert KafkaScaler(Trigger(lag_threshold=2, limit_to_partitions_with_lag=True)).poll(offsets).metric == 2


def test_an_offset_beyond_the_end_counts_negative_and_hides_other_lag(topic: Topic) -> None:
    topic.send(0, 2)
    topic.send(1, 3)
    topic.commit(p0=5, p1=0, p2=0)
    reading = KafkaScaler(Trigger()).poll(topic.reader.read())
    assert dict(reading.lags) == {0: -3, 1: 3, 2: 0}
    assert (reading.metric, reading.active) == (0, False)


def test_a_grown_topic_raises_the_cap_and_its_new_partitions_have_no_offset(topic: Topic) -> None:
    topic.commit(p0=0, p1=0, p2=0)
    topic.send(0, 30)
    scaler = KafkaScaler(Trigger(lag_threshold=1, offset_reset_policy="earliest"))
    assert scaler.poll(topic.reader.read()).metric == 3
    topic.grow(5)
    topic.send(4, 2)
    offsets = topic.reader.read()
    assert offsets[4] == Offsets(2), "without a committed offset"
    assert scaler.poll(offsets).metric == 5
    assert KafkaScaler(Trigger(lag_threshold=1)).poll({3: offsets[3]}).metric == 1, "latest: lag on an empty partition"
