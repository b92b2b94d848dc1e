"""What may be committed: never past a record that still runs, never less than before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.record import Lease
from shared.runtime.tracker import Tracker


def tracker() -> Tracker:
    return Tracker(Lease("topic", 0))


def test_nothing_taken_nothing_to_commit() -> None:
    assert tracker().committable() is None


def test_out_of_order_ends_wait_for_the_first() -> None:
    t = tracker()
    for offset in (7, 8, 9):
        t.start(offset)
    t.finish(8)
    t.finish(9)
    assert t.committable() in (None, 7)
    t.finish(7)
    assert t.committable() == 10
    t.committed(10)
    assert t.committable() is None
    assert not t.running


def test_a_dropped_record_is_not_committed() -> None:
    t = tracker()
    t.start(3)
    t.start(4)
    t.finish(3)
    t.drop(4)
    assert t.committable() == 4


def test_a_record_that_was_never_taken_is_a_bug() -> None:
    with pytest.raises(KeyError):
        tracker().finish(1)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.data())
def test_the_committed_prefix_is_finished_and_only_grows(offsets: list[int], data: st.DataObject) -> None:
    t, taken = tracker(), sorted(offsets)
    for offset in taken:
        t.start(offset)
    left, before = set(taken), -1
    for offset in data.draw(st.permutations(taken)):
        t.finish(offset)
        left.remove(offset)
        upto = t.committable()
        if upto is not None:
            assert upto > before
            assert all(o >= upto for o in left), "an unfinished record lies before the commit"
            t.committed(upto)
            before = upto
        expected = min(left) if left else taken[-1] + 1
        assert before == expected


def test_what_is_given_up_holds_back_what_comes_after_it() -> None:
    t = tracker()
    for offset in (1, 2, 3):
        t.start(offset)
    t.drop(1)
    assert t.committable() in (None, 1)
    t.finish(2)
    assert t.committable() in (None, 1)
