"""The committable offset: never past a running or dropped record, never lower than before."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.consume.offset_tracker import REMEMBERED, OffsetTracker


def test_new_tracker_has_nothing_to_commit() -> None:
    assert OffsetTracker().committable() is None


def test_out_of_order_completions_wait_for_the_first_record() -> None:
    t = OffsetTracker()
    for offset in (7, 8, 9):
        t.start(offset)
    t.finish(8)
    t.finish(9)
    assert t.committable() == 7
    t.finish(7)
    assert t.committable() == 10
    assert not t.running


def test_dropped_record_is_not_committed() -> None:
    t = OffsetTracker()
    t.start(3)
    t.start(4)
    t.finish(3)
    t.drop(4)
    assert t.committable() == 4


def test_finishing_a_record_that_was_never_started_raises() -> None:
    with pytest.raises(KeyError):
        OffsetTracker().finish(1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.data())
def test_committed_prefix_is_finished_and_only_grows(offsets: list[int], data: st.DataObject) -> None:
    t, taken = OffsetTracker(), sorted(offsets)
    for offset in taken:
        t.start(offset)
    left, before = set(taken), -1
    for offset in data.draw(st.permutations(taken)):
        t.finish(offset)
        left.remove(offset)
        upto = t.committable()
        assert upto is not None
        assert upto >= before
        assert all(o >= upto for o in left), "an unfinished record lies before the commit"
        before = upto
        expected = min(left) if left else taken[-1] + 1
        assert before == expected


def test_dropped_record_holds_back_later_commits() -> None:
    t = OffsetTracker()
    for offset in (1, 2, 3):
        t.start(offset)
    t.drop(1)
    assert t.committable() == 1
    t.finish(2)
    assert t.committable() == 1


def test_record_after_a_dropped_one_does_not_raise_the_commit() -> None:
    t = OffsetTracker()
    t.start(1)
    t.drop(1)
    t.start(2)
    t.finish(2)
    assert t.committable() == 1
    assert t.start(1), "a dropped record is started again"
    assert t.committable() == 1
    t.finish(1)
    assert t.committable() == 3


def test_record_delivered_twice_is_started_once() -> None:
    t = OffsetTracker()
    assert t.start(4)
    assert not t.start(4), "it runs"
    t.finish(4)
    assert not t.start(4), "it is done"
    assert t.start(5)
    assert t.committable() == 5


def test_partition_end_is_past_offsets_without_records() -> None:
    t = OffsetTracker()
    t.reached(7)
    assert t.committable() == 7, "a partition without readable records"
    t.start(8)
    t.reached(11)
    assert t.committable() == 8, "not past a record that runs"
    t.finish(8)
    assert t.committable() == 11
    t.start(11)
    t.drop(11)
    t.reached(15)
    assert t.committable() == 11, "not past a record that was dropped"


def test_other_record_at_a_known_offset_is_started() -> None:
    """In a recreated topic the first records have the offsets of old ones, which may still run."""
    t = OffsetTracker()
    for offset in (0, 1, 2):
        t.start(offset, "old")
    t.finish(0)
    t.finish(2)
    assert [t.start(offset, "new") for offset in (0, 1)] == [True, True]
    assert not t.start(1, "new")
    assert t.committable() == 0
    t.finish(0)
    t.finish(1)
    assert t.committable() == 1, "one of the two records at 1 still runs"
    t.finish(1)
    assert t.committable() == 2


def test_number_of_remembered_records_is_bounded() -> None:
    t = OffsetTracker()
    for offset in range(REMEMBERED + 2):
        assert t.start(offset, offset)
        t.finish(offset)
    assert not t.start(REMEMBERED + 1, REMEMBERED + 1)
    assert t.start(0, 0), "too old to be recognised: processed again"
    assert t.committable() == 0


def test_record_that_waits_is_recognised_however_many_others_were_finished() -> None:
    t = OffsetTracker()
    t.start(0, 0)
    for offset in range(1, 2 * REMEMBERED):
        assert t.start(offset, offset)
        t.finish(offset)
    assert not t.start(0, 0)
    assert t.committable() == 0


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_no_sequence_of_deliveries_commits_an_unfinished_record(seed: int, steps: int) -> None:
    """Compares the tracker with a model that knows for each offset whether it is a record and whether it finished."""
    draw = random.Random(seed)
    log = [draw.random() < 0.7 for _ in range(draw.randrange(1, 25))]  # False: a marker, or aborted
    t, done, running, dropped, position, before = OffsetTracker(), set[int](), set[int](), set[int](), 0, -1

    def check() -> None:
        nonlocal before
        upto = t.committable()
        if upto is None:
            return
        assert upto >= before
        assert all(offset in done for offset in range(upto) if log[offset]), "an unfinished record is before the commit"
        before = upto

    def deliver(offset: int) -> None:
        taken = t.start(offset)
        assert taken == (offset not in running | done)
        if taken:
            running.add(offset)
            dropped.discard(offset)

    for _ in range(steps):
        match draw.randrange(6):
            case 0 | 1 if position < len(log):
                if log[position]:
                    deliver(position)
                position += 1
            case 2 if running:
                offset = draw.choice(sorted(running))
                t.finish(offset)
                running.remove(offset)
                done.add(offset)
            case 3 if running:
                offset = draw.choice(sorted(running))
                t.drop(offset)
                running.remove(offset)
                dropped.add(offset)
            case 4 if running | done | dropped:
                deliver(draw.choice(sorted(running | done | dropped)))
            case 5 if position == len(log):
                t.reached(position)
        check()
    for offset in range(len(log)):
        if log[offset] and offset not in running | done:
            deliver(offset)
    for offset in running:
        t.finish(offset)
        done.add(offset)
    t.reached(len(log))
    assert t.committable() == (len(log) or None), "all is finished, all is committed"
