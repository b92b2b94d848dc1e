"""Which record of a partition is next, and which offset may be committed."""

from hypothesis import given
from hypothesis import strategies as st

from shared.messages.tiers import Tier
from shared.runtime.consume.assignment import Record
from shared.runtime.relay.retry_partition import (
    MAX_SENT,
    PAUSE_AT,
    PAUSE_AT_BYTES,
    RESUME_AT,
    RetryPartition,
    WaitingRecord,
)


def record(offset: int, value: bytes = b"", timestamp_ms: int = 0) -> Record:
    return Record("render.retry.10s", 0, offset, b"key", value, [], timestamp_ms)


def partition(*offsets: int) -> RetryPartition:
    made = RetryPartition("render.retry.10s", 0, Tier("10s", 10))
    for offset in offsets:
        assert made.add(record(offset), offset)
    return made


def test_commit_stops_before_the_first_record_that_is_not_settled() -> None:
    one = partition(5, 6, 7)
    first, second = one.take(), one.take()
    assert one.committable() == 5
    one.settle(second)
    assert one.committable() == 5
    one.settle(first)
    assert one.committable() == 7
    one.committed(7)
    assert one.committable() is None


def test_records_that_are_sent_and_not_settled_are_bounded() -> None:
    """As while the object store is away, and each of them is to become a dead letter."""
    one = partition(*range(MAX_SENT + 1))
    sent = [one.take() for _ in range(MAX_SENT)]
    assert not one.may_send(0.0)
    one.settle(sent[0])
    assert one.may_send(0.0)


def test_end_of_the_partition_is_committed_only_without_unsettled_records() -> None:
    one = partition(5)
    one.reached(9)
    assert one.committable() == 5
    one.settle(one.take())
    assert one.committable() == 9


def test_record_that_was_not_accepted_is_first_again_and_holds_the_others_back() -> None:
    one = partition(1, 2, 3)
    sent, accepted = one.take(), one.take()
    one.put_back(sent)
    one.hold_back(10.0)
    assert not one.may_send(9.0)
    assert not one.may_send(11.0), "a record that was sent after it has no report yet"
    one.settle(accepted)
    assert one.may_send(11.0)
    assert (one.first, one.committable()) == (sent, 1)
    assert [one.take().record.offset, one.take().record.offset] == [1, 3]


def test_second_delivery_of_a_waiting_record_is_ignored_and_another_record_is_not() -> None:
    one = partition(1, 2)
    assert not one.add(record(1), 1)
    assert one.add(record(0, timestamp_ms=7), 7), "the topic was created again"
    assert one.committable() == 0


def test_record_without_a_time_waits_from_when_the_time_is_known() -> None:
    one = partition()
    one.add(record(0), None)
    one.set_due(1000)
    one.set_due(2000)
    assert one.first is not None
    assert one.first.due_ms == 11_000


def test_partition_is_full_by_number_and_by_bytes() -> None:
    many, large = partition(*range(PAUSE_AT)), partition()
    assert many.is_full
    large.add(record(0, b"x" * PAUSE_AT_BYTES), 0)
    assert large.is_full
    while not many.has_room:
        many.settle(many.take())
    assert many.first is not None
    assert PAUSE_AT - many.first.record.offset == RESUME_AT - 1


@given(st.lists(st.sampled_from(["add", "take", "settle", "put back", "commit"]), max_size=60), st.randoms())
def test_commit_never_passes_a_record_that_is_not_settled(steps: list[str], random: object) -> None:
    one, sent, unsettled, offset = partition(), list[WaitingRecord](), set[int](), 0
    for step in steps:
        if step == "add":
            one.add(record(offset), offset)
            unsettled.add(offset)
            offset += 1
        elif step == "take" and one.first is not None:
            sent.append(one.take())
        elif step == "settle" and sent:
            chosen = sent.pop(random.randrange(len(sent)))  # type: ignore[attr-defined]
            one.settle(chosen)
            unsettled.remove(chosen.record.offset)
        elif step == "put back" and sent:
            one.put_back(sent.pop(random.randrange(len(sent))))  # type: ignore[attr-defined]
        elif step == "commit" and (commit := one.committable()) is not None:
            assert commit == min(unsettled, default=offset)
            one.committed(commit)
    waiting = []
    while one.first is not None:
        waiting.append(one.take().record.offset)
    assert waiting == sorted(waiting)
