"""`topics apply` commits the earliest offset for groups that have none, on the real broker; it changes no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from shared.runtime import topic_admin
from shared.runtime.group_protocol import group_protocol
from shared.runtime.kafka_config import consumer_config
from shared.runtime.settings import RuntimeSettings
from shared.runtime.start_offsets import Missing, StartOffsets
from tests.conftest import Infrastructure

WAIT_S = 120


@pytest.fixture
def settings(stack: Infrastructure, topic_prefix: str) -> RuntimeSettings:
    return RuntimeSettings(topic_prefix=topic_prefix, engines=("puppet", "sonic"), retry_tiers=("10s",))


def admin(settings: RuntimeSettings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.bootstrap_servers})


def committed(settings: RuntimeSettings, group: str) -> dict[tuple[str, int], int]:
    """The offsets of the group, as KEDA reads them: without the deployment's prefix."""
    client = admin(settings)
    future = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(settings.topic_prefix + group)])
    answer = future[settings.topic_prefix + group].result(WAIT_S)
    return {(p.topic.removeprefix(settings.topic_prefix), p.partition): p.offset for p in answer.topic_partitions}


def set_offset(settings: RuntimeSettings, group: str, topic: str, partition: int, offset: int) -> None:
    place = TopicPartition(settings.topic(topic), partition, offset)
    client = admin(settings)
    request = [ConsumerGroupTopicPartitions(settings.topic_prefix + group, [place])]
    client.alter_consumer_group_offsets(request)[settings.topic_prefix + group].result(WAIT_S)


def send(settings: RuntimeSettings, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for _ in range(count):
        producer.produce(settings.topic(topic), b"x", partition=0)
    assert producer.flush(WAIT_S) == 0


def offset_changes(changes: list[topic_admin.Change]) -> set[tuple[str, str, str]]:
    return {(c.topic, c.wanted, c.found) for c in changes if c.kind == "start_offsets"}


@contextmanager
def member(settings: RuntimeSettings, group: str, topic: str) -> Iterator[Consumer]:
    """A member of the group that owns every partition and has committed nothing."""
    config = consumer_config(settings, "test", settings.topic_prefix + group, group_protocol(settings))
    consumer = Consumer(config)
    assigned: list[TopicPartition] = []
    consumer.subscribe([settings.topic(topic)], on_assign=lambda _, partitions: assigned.extend(partitions))
    try:
        for _ in range(WAIT_S * 10):
            consumer.poll(0.1)
            if assigned:
                break
        assert assigned
        yield consumer
    finally:
        consumer.close()


EVERY_GROUP = {
    "lipstage.audio": "render.requests",
    "lipstage.face": "render.face",
    "lipstage.infer.puppet": "render.infer.puppet",
    "lipstage.infer.sonic": "render.infer.sonic",
    "lipstage.encode": "render.encode",
}


def test_every_partition_of_every_group_gets_an_offset_and_a_second_apply_changes_nothing(
    settings: RuntimeSettings,
) -> None:
    made = topic_admin.apply(settings)
    for group, topic in EVERY_GROUP.items():
        lanes = (topic, f"{topic}.bulk")
        assert committed(settings, group) == {(name, n): 0 for name in lanes for n in range(16)}
        for name in lanes:
            change = settings.topic(name), settings.group(group.removeprefix("lipstage.")), "16 partitions without"
            assert change in offset_changes(made)
    assert committed(settings, "lipstage.relay") == {("render.retry.10s", n): 0 for n in range(4)}
    assert topic_admin.diff(settings) == topic_admin.apply(settings) == []


def test_group_that_has_committed_keeps_its_offset_and_gets_the_missing_ones(settings: RuntimeSettings) -> None:
    client = admin(settings)
    for future in client.create_topics([NewTopic(settings.topic("render.face"), 4)]).values():
        future.result(WAIT_S)
    send(settings, "render.face", 5)
    set_offset(settings, "lipstage.face", "render.face", 0, 3)
    missing = settings.topic("render.face"), settings.group("face"), "3 partitions without"
    assert missing in offset_changes(topic_admin.diff(settings))
    topic_admin.apply(settings)
    found = committed(settings, "lipstage.face")
    # The three, those of the partitions that it added, and those of the bulk lane.
    assert (found["render.face", 0], len(found)) == (3, 32)


def test_partitions_that_somebody_added_get_an_offset(settings: RuntimeSettings) -> None:
    topic_admin.apply(settings)
    client = admin(settings)
    for future in client.create_partitions([NewPartitions(settings.topic("render.encode"), 18)]).values():
        future.result(WAIT_S)
    changes = topic_admin.apply(settings)
    assert offset_changes(changes) == {
        (settings.topic("render.encode"), settings.group("encode"), "2 partitions without")
    }
    assert len(committed(settings, "lipstage.encode")) == 18 + 16


def test_start_offset_is_the_first_record_that_the_topic_still_has(settings: RuntimeSettings) -> None:
    client = admin(settings)
    for future in client.create_topics([NewTopic(settings.topic("render.encode"), 16)]).values():
        future.result(WAIT_S)
    send(settings, "render.encode", 5)
    place = TopicPartition(settings.topic("render.encode"), 0, 2)
    for future in client.delete_records([place]).values():
        future.result(WAIT_S)
    topic_admin.apply(settings)
    assert committed(settings, "lipstage.encode")["render.encode", 0] == 2


def test_group_with_members_is_left_alone(settings: RuntimeSettings) -> None:
    client = admin(settings)
    for future in client.create_topics([NewTopic(settings.topic("render.face"), 16)]).values():
        future.result(WAIT_S)
    with member(settings, "lipstage.face", "render.face"):
        assert not any(group == settings.group("face") for _, group, _ in offset_changes(topic_admin.apply(settings)))
        assert committed(settings, "lipstage.face") == {}
        # A member that joins after the members were counted: the broker itself refuses.
        late = Missing(settings.group("face"), settings.topic("render.face"), (0,))
        assert StartOffsets(settings).commit(late) is None
        assert committed(settings, "lipstage.face") == {}


def test_concurrent_applies_agree(settings: RuntimeSettings) -> None:
    with ThreadPoolExecutor(4) as pool:
        for changes in [pool.submit(topic_admin.apply, settings) for _ in range(4)]:
            changes.result(120)
    assert topic_admin.diff(settings) == []


def test_client_without_rights_on_a_group_reports_it_and_changes_the_topics(
    settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local broker checks no rights: its answer for one group is replaced."""
    ask = StartOffsets._uncommitted

    def refuse(asked: StartOffsets, group: str, wanted: list[TopicPartition]) -> list[TopicPartition]:
        if group == settings.group("audio"):
            raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
        return ask(asked, group, wanted)

    monkeypatch.setattr(StartOffsets, "_uncommitted", refuse)
    topic_admin.apply(settings)
    assert [(c.kind, c.wanted, c.applicable) for c in topic_admin.diff(settings)] == [
        ("no_group_rights", settings.group("audio"), False)
    ] * 2, "both lanes"
    assert committed(settings, "lipstage.audio") == {}
