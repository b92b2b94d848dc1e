"""Both lanes through the consumer loop and a real broker: what starts next, what is fetched, what is committed."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shared.messages.lanes import INTERACTIVE
from shared.runtime.kafka_config import Protocol
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure
from tests.runtime.test_consumer_loop import WAIT_S, Member
from tests.runtime.test_positions import until

PARTITIONS = 2


@dataclass
class Lanes:
    """The two topics of one stage, and a member of its group with one slot."""

    settings: RuntimeSettings
    topic: str
    protocol: Protocol

    def __post_init__(self) -> None:
        self.bulk = f"{self.topic}.bulk"
        self.admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        for future in self.admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in self.names]).values():
            future.result(30)
        self.members: list[Member] = []

    @property
    def names(self) -> tuple[str, str]:
        return self.topic, self.bulk

    def member(self, read_ahead: int = 1000) -> Member:
        group = f"group-{self.topic}"
        lanes: dict[str, Any] = {"more_topics": (self.bulk,), "read_ahead": read_ahead}
        made = Member(self.settings, self.topic, group, self.protocol, 1, **lanes)
        self.members.append(made)
        return made

    def send(self, topic: str, count: int, tenant: str = "default") -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers})
        for number in range(count):
            producer.produce(topic, json.dumps({"tenant": tenant, "n": number}), b"key", number % PARTITIONS)
        assert producer.flush(WAIT_S) == 0

    def finish(self, member: Member, number: int) -> str:
        """The topic of the ``number``-th record that starts, which is finished."""
        item = member.wait(number)
        member.release(*item)
        return item[0].topic

    def committed(self) -> dict[tuple[str, int], int]:
        places = [TopicPartition(name, number) for name in self.names for number in range(PARTITIONS)]
        query = [ConsumerGroupTopicPartitions(f"group-{self.topic}", places)]
        answer = self.admin.list_consumer_group_offsets(query)[f"group-{self.topic}"].result(timeout=10)
        return {(p.topic, p.partition): p.offset for p in answer.topic_partitions}


@pytest.fixture(params=["consumer", "classic"])
def lanes(stack: Infrastructure, request: pytest.FixtureRequest) -> Iterator[Lanes]:
    settings = RuntimeSettings(bootstrap_servers=stack.bootstrap_servers)
    made = Lanes(settings, f"lanes-{uuid.uuid4().hex[:8]}", request.param)
    yield made
    for member in made.members:
        member.close()


@pytest.mark.parametrize("read_ahead", [1000, 8])
def test_interactive_record_starts_next_behind_a_bulk_backlog(lanes: Lanes, read_ahead: int) -> None:
    """Also when the bulk lane is full and paused: 8 of the 600 records are fetched then."""
    lanes.send(lanes.bulk, 600)
    member = lanes.member(read_ahead)
    for number in range(1, 10, 2):
        assert member.wait(number)[0].topic == lanes.bulk
        lanes.send(lanes.topic, 1)
        until(lambda: member.loop._dispatcher.fill(INTERACTIVE) > 0, "the interactive record")
        assert len(member.taken) == number, "one slot"
        lanes.finish(member, number)
        assert lanes.finish(member, number + 1) == lanes.topic


def test_bulk_records_move_while_interactive_ones_wait(lanes: Lanes) -> None:
    lanes.send(lanes.topic, 60)
    lanes.send(lanes.bulk, 4)
    member = lanes.member()
    topics = [lanes.finish(member, number) for number in range(1, 41)]
    assert topics.count(lanes.bulk) == 4, topics


def test_one_job_of_a_small_tenant_does_not_wait_for_a_large_one(lanes: Lanes) -> None:
    lanes.send(lanes.topic, 300, "large")
    lanes.send(lanes.topic, 1, "small")
    member = lanes.member()
    tenants = []
    for number in range(1, 303):
        record, assignment = member.wait(number)
        tenants.append(json.loads(record.value or b"{}")["tenant"])
        member.release(record, assignment)
        if tenants[-1] == "small":
            break
    # The first fetches bring the large tenant's records alone: the small one's is read behind them, and starts then.
    assert len(tenants) < 100, tenants


def test_records_that_start_out_of_order_are_all_done_once_and_committed(lanes: Lanes) -> None:
    """Every tenant's records lie behind those of others: the commit follows the contiguous prefix to the end."""
    for tenant in ("a", "b", "c"):
        lanes.send(lanes.topic, 20, tenant)
        lanes.send(lanes.bulk, 20, tenant)
    member = lanes.member()
    for number in range(1, 121):
        lanes.finish(member, number)
    member.close()
    assert {(record.topic, record.partition, record.offset) for record, _ in member.taken} == {
        (name, partition, offset) for name in lanes.names for partition in range(PARTITIONS) for offset in range(30)
    }
    assert set(lanes.committed().values()) == {30}


def test_what_a_killed_member_had_not_finished_is_delivered_to_the_next(lanes: Lanes) -> None:
    """Records behind an unfinished one were done: they come again, and none is lost."""
    lanes.send(lanes.topic, 10, "a")
    lanes.send(lanes.topic, 10, "b")
    member = lanes.member()
    for number in range(1, 8):
        lanes.finish(member, number)
    unfinished = member.wait(8)
    member.give_back(*unfinished)
    member.close()
    second = lanes.member()
    needed = {(partition, offset) for partition in range(PARTITIONS) for offset in range(10)}
    needed -= {(record.partition, record.offset) for record, _ in member.taken[:7]}
    number = 0
    while needed:
        number += 1
        record, assignment = second.wait(number)
        needed.discard((record.partition, record.offset))
        second.release(record, assignment)
    second.close()
    assert {lanes.committed()[lanes.topic, number] for number in range(PARTITIONS)} == {10}
