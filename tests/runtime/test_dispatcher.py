"""Which record starts next: in the order of delivery, never more than the slots, a suspect alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from confluent_kafka import TopicPartition

from shared.runtime.consume.assignment import Completion, PartitionAssignment, Record
from shared.runtime.consume.attempt_counts import dump_counts
from shared.runtime.consume.dispatcher import Dispatcher
from shared.runtime.consume.owned_partition import OwnedPartition


@dataclass
class Bench:
    """A dispatcher whose slots are a list, and one partition."""

    crashes: dict[int, int] = field(default_factory=dict)
    count: int = 2
    max_crashes: int = 3
    may_start: Callable[[int], bool] = lambda _: True

    def __post_init__(self) -> None:
        self.submitted: list[tuple[Record, PartitionAssignment]] = []
        self.dispatcher = Dispatcher(self, self.max_crashes, self.may_start)
        self.partition = self.owned(0, self.crashes)

    def owned(self, number: int, crashes: dict[int, int]) -> OwnedPartition:
        owned = OwnedPartition(PartitionAssignment("t", number))
        owned.restore(TopicPartition("t", number, 0, metadata=dump_counts(crashes)))
        return owned

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        self.submitted.append((record, assignment))

    def deliver(self, *offsets: int, partition: OwnedPartition | None = None) -> None:
        owned = partition or self.partition
        for offset in offsets:
            record = Record(*owned.name, offset, None, None, [], 0)
            assert owned.deliver(record)
            self.dispatcher.add(record, owned)

    def start(self) -> list[int]:
        """Offsets of the records that start now."""
        before = len(self.submitted)
        self.dispatcher.choose()
        self.dispatcher.submit()
        return [record.offset for record, _ in self.submitted[before:]]

    def settle(self, offset: int) -> None:
        self.complete(offset, settled=True)
        self.partition.finish(offset)

    def complete(self, offset: int, settled: bool) -> None:
        item = next(item for item in self.submitted if item[0].offset == offset)
        delivery = self.dispatcher.complete(Completion(*item, settled))
        if not settled:
            self.dispatcher.put_back(delivery)


def test_records_start_in_order_and_never_exceed_the_slots() -> None:
    bench = Bench()
    bench.deliver(0, 1, 2, 3)
    assert bench.start() == [0, 1]
    assert bench.start() == []
    bench.settle(1)
    assert bench.start() == [2]


def test_submitted_record_carries_its_crashes() -> None:
    bench = Bench({1: 1})
    bench.deliver(0, 1)
    bench.start()
    assert [record.crashes for record, _ in bench.submitted] == [0, 1]


def test_suspect_waits_for_an_empty_service_and_nothing_passes_it() -> None:
    bench = Bench({1: 2}, count=3)
    bench.deliver(0, 1, 2)
    assert bench.start() == [0], "the suspect waits, and those behind it do not pass"
    bench.settle(0)
    assert bench.start() == [1]
    assert bench.start() == [], "nothing starts beside it"
    bench.settle(1)
    assert bench.start() == [2]


def test_two_suspects_run_one_after_the_other() -> None:
    bench = Bench({0: 2, 1: 5}, count=3)
    bench.deliver(0, 1)
    assert bench.start() == [0]
    bench.settle(0)
    assert bench.start() == [1]


@pytest.mark.parametrize(("limit", "alone_from"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_limit_sets_from_how_many_crashes_a_record_runs_alone(limit: int, alone_from: int) -> None:
    below = Bench({0: alone_from - 1}, max_crashes=limit)
    below.deliver(0, 1)
    assert below.start() == [0, 1]
    at = Bench({0: alone_from}, max_crashes=limit)
    at.deliver(0, 1)
    assert at.start() == [0]


def test_suspect_whose_partition_is_revoked_before_it_starts_blocks_nothing() -> None:
    bench = Bench({0: 2})
    other = bench.owned(1, {})
    bench.deliver(0)
    bench.deliver(5, partition=other)
    bench.dispatcher.choose()
    bench.dispatcher.drop([bench.partition])
    bench.dispatcher.submit()
    assert bench.submitted == []
    assert bench.start() == [5]


def test_breaker_is_asked_once_for_each_record_that_could_start() -> None:
    asked: list[int] = []
    answers = iter([True, False, True, False])

    def may_start(running: int) -> bool:
        asked.append(running)
        return next(answers)

    bench = Bench(may_start=may_start)
    bench.deliver(0, 1, 2)
    assert bench.start() == [0]
    assert bench.start() == [1]
    assert bench.start() == [], "no slot is free: not asked"
    assert asked == [0, 1, 1]
    bench.settle(0)
    assert bench.start() == []
    assert bench.dispatcher.waiting == 1


def test_records_of_a_partition_with_unknown_counts_wait() -> None:
    bench = Bench()
    unknown = OwnedPartition(PartitionAssignment("t", 1))
    bench.deliver(7, partition=unknown)
    bench.deliver(0)
    assert bench.start() == [0]
    unknown.restore(TopicPartition("t", 1, 0, metadata=dump_counts({7: 1})))
    assert bench.start() == [7]
    assert bench.submitted[1][0].crashes == 1


def test_unsettled_record_waits_again_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("shared.runtime.consume.dispatcher.time.monotonic", lambda: now[0])
    bench = Bench(count=2)
    bench.deliver(0, 1, 2, 3)
    assert bench.start() == [0, 1]
    bench.complete(1, settled=False)
    bench.complete(0, settled=False)
    assert bench.start() == [2, 3], "it does not come back at once, and blocks nobody meanwhile"
    bench.settle(2)
    bench.settle(3)
    now[0] += 10
    bench.deliver(4)
    assert bench.start() == [0, 1], "before the record that was delivered after it"


def test_count_of_an_interrupted_record_is_taken_back_but_not_of_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("shared.runtime.consume.dispatcher.time.monotonic", lambda: now[0])
    bench = Bench()
    bench.deliver(0)
    bench.start()
    now[0] += 50
    bench.deliver(1)
    bench.start()
    now[0] += 20
    bench.dispatcher.interrupt([bench.partition], 60)
    offset = bench.partition.to_commit()
    assert offset is not None
    assert offset.metadata == dump_counts({0: 1})


def test_turns_are_those_of_the_sender_and_not_of_the_tenant_that_a_body_names() -> None:
    bench = Bench(count=1)
    bench.dispatcher = Dispatcher(bench, 3, lambda _: True, served=lambda record: "b" if record.offset == 3 else "a")
    for offset in range(4):
        record = Record(*bench.partition.name, offset, None, b'{"tenant": "%d"}' % offset, [], 0)
        assert bench.partition.deliver(record)
        bench.dispatcher.add(record, bench.partition)
    started = []
    for _ in range(4):
        started += bench.start()
        bench.settle(started[-1])
    assert started.index(3) < 2, "b waits for one start of a, not for all that name others"
