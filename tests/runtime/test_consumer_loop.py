"""The consumer loop with the real broker: a revocation waits for running tasks, a lost record is delivered again."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.attempt_counts import parse_counts
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.consume.owned_partition import OwnedPartition
from shared.runtime.kafka_config import Protocol, consumer_config
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

PARTITIONS = 2
WAIT_S = 120


@dataclass
class Member:
    """One consumer loop in its own thread. The test is its slot and completes records with `release`."""

    settings: RuntimeSettings
    topic: str
    group: str
    protocol: Protocol
    count: int
    barrier_s: float = 30
    may_start: Callable[[int], bool] = lambda _: True
    more_topics: tuple[str, ...] = ()
    read_ahead: int = 1000
    taken: list[tuple[Record, PartitionAssignment]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.news = threading.Condition()
        self.completions = Completions()
        self.stop = threading.Event()
        self.revoking = threading.Event()
        self.failures: list[Exception] = []
        self.consumer = Consumer(consumer_config(self.settings, "test", self.group, self.protocol))
        self.loop = ConsumerLoop(
            self.consumer,
            [self.topic, *self.more_topics],
            self,
            self.completions,
            self.barrier_s,
            may_start=self.may_start,
            read_ahead=self.read_ahead,
        )
        barrier = self.loop._wait_for

        def noted(partitions: list[OwnedPartition], seconds: float) -> None:
            self.revoking.set()
            barrier(partitions, seconds)

        self.loop._wait_for = noted  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            self.loop.run(self.stop, 0.0)
        except Exception as e:  # noqa: BLE001 - the test checks it
            self.failures.append(e)

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        with self.news:
            self.taken.append((record, assignment))
            self.news.notify_all()

    def wait(self, count: int) -> tuple[Record, PartitionAssignment]:
        """The newest record, once `count` records have arrived."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.taken) >= count, WAIT_S), f"{len(self.taken)} of {count} came"
            return self.taken[count - 1]

    def release(self, record: Record, assignment: PartitionAssignment) -> None:
        self.completions.put(Completion(record, assignment, settled=True))

    def give_back(self, record: Record, assignment: PartitionAssignment) -> None:
        self.completions.put(Completion(record, assignment, settled=False))

    def close(self) -> None:
        self.stop.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()


@dataclass
class Bench:
    """A topic, a consumer group and its members."""

    settings: RuntimeSettings
    topic: str
    group: str
    protocol: Protocol
    members: list[Member] = field(default_factory=list)

    def member(
        self,
        capacity: int = 1,
        barrier_s: float = 30,
        may_start: Callable[[int], bool] = lambda _: True,
        **settings: str,
    ) -> Member:
        changed = self.settings.model_copy(update=settings)
        self.members.append(Member(changed, self.topic, self.group, self.protocol, capacity, barrier_s, may_start))
        return self.members[-1]

    def send(self, *partitions: int, value: bytes = b"value") -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers})
        errors: list[KafkaError | None] = []
        for partition in partitions:
            producer.produce(self.topic, value, b"key", partition, on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(WAIT_S) == 0
        assert not any(errors), errors

    def commit(self, partition: int, offset: int, metadata: str) -> None:
        """Commit for the group, which has no members."""
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        offsets = [TopicPartition(self.topic, partition, offset, metadata=metadata)]
        admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.group, offsets)])[self.group].result(10)

    def committed(self, partition: int) -> int:
        return self.offset(partition).offset

    def counts(self, partition: int) -> dict[int, int]:
        """The attempt counts at the broker."""
        return parse_counts(self.offset(partition).metadata)

    def offset(self, partition: int) -> TopicPartition:
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        query = [ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.topic, partition)])]
        (partition_offset,) = admin.list_consumer_group_offsets(query)[self.group].result(timeout=10).topic_partitions
        return partition_offset


@pytest.fixture(params=["consumer", "classic"])
def bench(stack: Infrastructure, request: pytest.FixtureRequest) -> Iterator[Bench]:
    topic = f"loop-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result(30)
    made = Bench(RuntimeSettings(bootstrap_servers=stack.bootstrap_servers), topic, f"group-{topic}", request.param)
    yield made
    for member in made.members:
        if member.thread.is_alive():
            member.close()


def test_running_records_never_exceed_the_slots(bench: Bench) -> None:
    bench.send(0, 1, 0, 1, 0)
    member = bench.member()
    for count in range(1, 6):
        first = member.wait(count)
        assert len(member.taken) == count
        member.release(*first)
    member.close()
    assert (bench.committed(0), bench.committed(1)) == (3, 2)


def test_out_of_order_completions_of_two_slots_lose_no_record(bench: Bench) -> None:
    bench.send(0, 0, 0)
    member = bench.member(capacity=2)
    first, second = member.wait(1), member.wait(2)
    assert len(member.taken) == 2
    member.release(*second)
    third = member.wait(3)
    member.release(*third)
    member.completions.put(Completion(*first, settled=False))
    member.close()
    assert bench.committed(0) in (-1001, first[0].offset), "not past the dropped record"


def test_revocation_waits_for_running_records(bench: Bench) -> None:
    """The old owner finishes and commits; the new one never receives those records."""
    bench.send(0, 1)
    old = bench.member(capacity=2)
    running = [old.wait(1), old.wait(2)]
    new = bench.member()
    assert old.revoking.wait(WAIT_S)
    assert all(assignment.held for _, assignment in running)
    assert any(assignment.revoking for _, assignment in running), (
        "by this a task that only waits for the machine gives way"
    )
    assert new.taken == []
    for record, assignment in running:
        old.release(record, assignment)
    # Either member may own a partition from now on; the next record is delivered once.
    bench.send(0, 1)
    for partition in (0, 1):
        owner = first(
            lambda p=partition: [  # type: ignore[misc]
                m for m in (old, new) for r, _ in m.taken if (r.partition, r.offset) == (p, 1)
            ]
        )
        owner.release(*next(x for x in owner.taken if (x[0].partition, x[0].offset) == (partition, 1)))
    for member in (old, new):
        member.close()
    taken = sorted((r.partition, r.offset) for m in (old, new) for r, _ in m.taken)
    assert taken == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (bench.committed(0), bench.committed(1)) == (2, 2)


def test_unsettled_record_of_a_service_that_ends_is_delivered_to_the_next(bench: Bench) -> None:
    """A member that leaves with work unfinished has lost its assignment, and the next member gets the record."""
    bench.send(1)
    old = bench.member()
    record, assignment = old.wait(1)
    old.close()
    assert not assignment.held
    new = bench.member()
    again, new_lease = new.wait(1)
    assert (again.partition, again.offset) == (record.partition, record.offset)
    assert new_lease.held
    new.release(again, new_lease)
    new.close()
    assert bench.committed(1) == record.offset + 1


def first(candidates: Callable[[], list[Member]]) -> Member:
    """The first member that ``candidates`` returns, polled until one does."""
    turn = threading.Event()
    for _ in range(WAIT_S * 20):
        members = candidates()
        if members:
            return members[0]
        turn.wait(0.05)
    raise AssertionError("no member got the record")
