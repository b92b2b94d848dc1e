"""The committed offsets of an idle group: the end of every partition, whatever it contains."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.consumer_loop import ConsumerLoop
from tests.runtime.test_consumer_loop import PARTITIONS, WAIT_S, Bench, bench  # noqa: F401 - a fixture

Outcome = Callable[[Producer], None]


def transactions(bench: Bench, partition: int, *ends: Outcome) -> None:  # noqa: F811
    """A transaction of one record each; control records follow every record."""
    config = {"bootstrap.servers": bench.settings.bootstrap_servers, "transactional.id": uuid.uuid4().hex}
    producer = Producer(config)
    producer.init_transactions(WAIT_S)
    for end in ends:
        producer.begin_transaction()
        producer.produce(bench.topic, b"value", b"key", partition)
        producer.flush(WAIT_S)
        end(producer)


def commit(producer: Producer) -> None:
    producer.commit_transaction(WAIT_S)


def abort(producer: Producer) -> None:
    producer.abort_transaction(WAIT_S)


def until(true: Callable[[], bool], what: str) -> None:
    turn = threading.Event()
    for _ in range(WAIT_S * 10):
        if true():
            return
        turn.wait(0.1)
    raise AssertionError(what)


def test_idle_group_commits_past_control_records(bench: Bench) -> None:  # noqa: F811
    """Markers, aborted records, a partition that never had a record."""
    transactions(bench, 0, commit, abort, abort)
    member = bench.member()
    member.release(*member.wait(1))
    until(lambda: (bench.committed(0), bench.committed(1)) == (6, 0), "2 offsets a transaction, and an empty partition")
    transactions(bench, 0, commit)
    member.release(*member.wait(2))
    until(lambda: bench.committed(0) == 8, "again, once it has been idle before")


def test_partition_end_is_not_committed_while_an_earlier_record_runs(bench: Bench) -> None:  # noqa: F811
    transactions(bench, 0, commit, abort)
    transactions(bench, 1, abort)
    member = bench.member()
    running = member.wait(1)
    until(lambda: bench.committed(1) == 2, "the other partition is at its end")
    assert bench.committed(0) in (-1001, 0)
    member.release(*running)
    until(lambda: bench.committed(0) == 4, "all is done")


def test_partition_end_is_reported_after_a_pause(bench: Bench) -> None:  # noqa: F811
    """More records than are buffered: the partitions are paused, and prefetched records are discarded."""
    transactions(bench, 0, *[commit] * 50, abort)
    member = bench.member()
    for count in range(1, 51):
        member.release(*member.wait(count))
    until(lambda: bench.committed(0) == 102, "the end behind the last record")


def test_expired_records_do_not_hold_back_the_commit(bench: Bench) -> None:  # noqa: F811
    bench.send(0, 0, 0)
    admin = AdminClient({"bootstrap.servers": bench.settings.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(bench.topic, 0, 3)]).values():
        future.result(WAIT_S)
    bench.member()
    until(lambda: bench.committed(0) == 3, "the records expired before they were read")


def test_new_group_commits_where_it_starts(bench: Bench) -> None:  # noqa: F811
    """Before any record is settled, so that the lag of each partition is right: it is what an autoscaler reads."""
    bench.send(0, 1, 1, 1)
    admin = AdminClient({"bootstrap.servers": bench.settings.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(bench.topic, 1, 2)]).values():
        future.result(WAIT_S)
    member = bench.member(may_start=lambda _: False)
    until(lambda: (bench.committed(0), bench.committed(1)) == (0, 2), "the first offset that exists")
    assert member.taken == []


def test_records_of_new_partitions_are_processed(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    member = bench.member()
    member.release(*member.wait(1))
    admin = AdminClient({"bootstrap.servers": bench.settings.bootstrap_servers})
    for future in admin.create_partitions([NewPartitions(bench.topic, PARTITIONS + 2)]).values():
        future.result(WAIT_S)

    def size() -> int:
        return len(admin.list_topics(bench.topic, WAIT_S).topics[bench.topic].partitions)

    until(lambda: size() == PARTITIONS + 2, "the topic has grown")
    bench.send(PARTITIONS, PARTITIONS + 1)
    for count in (2, 3):
        member.release(*member.wait(count))
    assert {record.partition for record, _ in member.taken} == {0, PARTITIONS, PARTITIONS + 1}
    until(lambda: [bench.committed(p) for p in range(4)] == [1, 0, 1, 1], "committed like any other")


def test_recreated_topic_is_read_from_its_beginning(bench: Bench) -> None:  # noqa: F811
    """The same offsets hold other records, which must not count as duplicate deliveries."""
    bench.send(0, 0, 0)
    member = bench.member()
    for count in range(1, 4):
        member.release(*member.wait(count))
    until(lambda: bench.committed(0) == 3, "the first topic is done")
    admin = AdminClient({"bootstrap.servers": bench.settings.bootstrap_servers})
    for future in admin.delete_topics([bench.topic], operation_timeout=WAIT_S).values():
        future.result(WAIT_S)
    until(lambda: bench.topic not in admin.list_topics(timeout=WAIT_S).topics, "the topic is deleted")

    def created() -> bool:
        (future,) = admin.create_topics([NewTopic(bench.topic, PARTITIONS, 1)]).values()
        return future.exception(WAIT_S) is None

    until(created, "the topic is created again")
    bench.send(0, 0)
    for count in range(4, 6):
        member.release(*member.wait(count))
    assert [record.offset for record, _ in member.taken] == [0, 1, 2, 0, 1]


class Message:
    """A record, or the end of the partition."""

    def __init__(self, offset: int, end: bool = False) -> None:
        self._offset, self._end = offset, end

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._end else None

    def __getattr__(self, name: str) -> Callable[[], Any]:
        values = {"topic": "t", "partition": 0, "offset": self._offset, "timestamp": (0, 0)}
        return lambda: values.get(name)


class FakeConsumer:
    """Delivers the given messages, including repeated offsets."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.commits: list[int] = []
        self.stop = threading.Event()

    def subscribe(self, _topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._on_assign = on_assign

    def poll(self, _timeout: float) -> Message | None:
        if self._on_assign is not None:
            self._on_assign(self, [TopicPartition("t", 0)])
            self._on_assign = None
        if self._messages:
            return self._messages.pop(0)
        self.stop.set()
        return None

    def commit(self, offsets: list[Any], asynchronous: bool) -> list[Any]:
        self.commits += [p.offset for p in offsets]
        return offsets

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return partitions

    def get_watermark_offsets(self, _partition: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 5

    def incremental_assign(self, _: object) -> None: ...
    def pause(self, _: object) -> None: ...
    def resume(self, _: object) -> None: ...
    def close(self) -> None: ...


@dataclass
class FakeSlots:
    """Slots whose work is a callable of the test."""

    count: int
    submit: Callable[[Record, PartitionAssignment], None]


@pytest.mark.parametrize("settled", ["at once", "later"])
def test_record_delivered_twice_is_processed_once(settled: str) -> None:
    consumer = FakeConsumer(
        Message(0), Message(0), Message(1), Message(0), Message(1), Message(2, end=True), Message(1), Message(4, True)
    )
    fed: list[tuple[Record, PartitionAssignment]] = []
    pending: list[tuple[Record, PartitionAssignment]] = []

    completions = Completions()

    def submit(record: Record, assignment: PartitionAssignment) -> None:
        fed.append((record, assignment))
        if settled == "at once":
            completions.put(Completion(record, assignment, settled=True))
        else:
            pending.append((record, assignment))

    loop = ConsumerLoop(consumer, ["t"], FakeSlots(4, submit), completions, 0)
    if settled == "later":
        stop = consumer.stop.set

        def done_then_stop() -> None:
            while pending:
                completions.put(Completion(*pending.pop(), settled=True))
            stop()

        consumer.stop.set = done_then_stop  # type: ignore[method-assign]
    loop.run(consumer.stop, 5)
    assert [record.offset for record, _ in fed] == [0, 1]
    assert consumer.commits[-1] == 4
    assert consumer.commits == sorted(consumer.commits)


def test_abandoned_record_is_not_committed_when_later_ones_finish() -> None:
    consumer = FakeConsumer(Message(0), Message(1), Message(2, end=True))

    completions = Completions()

    def submit(record: Record, assignment: PartitionAssignment) -> None:
        completions.put(Completion(record, assignment, settled=record.offset > 0))

    loop = ConsumerLoop(consumer, ["t"], FakeSlots(1, submit), completions, 0)
    loop.run(consumer.stop, 5)
    assert [offset for offset in consumer.commits if offset > 0] == []
