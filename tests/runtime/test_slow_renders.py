"""The moving P99 by which a render is slow."""

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.settle import slow_renders
from shared.runtime.settle.slow_renders import KEPT, MAX_KINDS, WARM_UP, SlowRenders


def test_nothing_is_slow_during_the_warm_up() -> None:
    slow = SlowRenders()
    assert {slow.is_slow("puppet", "512x512", float(n)) for n in range(WARM_UP)} == {None}
    assert slow.is_slow("puppet", "512x512", 97.0) is False
    assert slow.is_slow("puppet", "512x512", 99.5) is True


def test_kinds_are_judged_by_themselves() -> None:
    slow = SlowRenders()
    for _ in range(WARM_UP):
        slow.is_slow("puppet", "512x512", 1.0)
    assert slow.is_slow("sonic", "512x512", 100.0) is None
    assert slow.is_slow("puppet", "256x256", 100.0) is None
    assert slow.is_slow("puppet", "512x512", 1.5) is True


def test_limit_moves_with_the_newest_renders() -> None:
    slow = SlowRenders()
    for seconds in [1.0] * KEPT + [10.0] * KEPT:
        slow.is_slow("puppet", "512x512", seconds)
    assert slow.is_slow("puppet", "512x512", 5.0) is False


def test_memory_is_bounded() -> None:
    slow = SlowRenders()
    for number in range(3 * MAX_KINDS):
        slow.is_slow("puppet", f"{number}x8", 1.0)
    for number in range(3 * KEPT):
        slow.is_slow("puppet", "8x8", float(number))
    assert len(slow._kinds) == MAX_KINDS
    (durations,) = [d for kind, d in slow._kinds.items() if kind == ("puppet", "8x8")]
    assert len(durations._newest) == len(durations._ascending) == KEPT


@given(st.lists(st.floats(0, 1e6), min_size=WARM_UP, max_size=150))
def test_limit_is_the_nearest_rank(durations: list[float]) -> None:
    one = slow_renders._Durations()
    for seconds in durations:
        one.add(seconds)
    limit = one.percentile()
    assert limit is not None
    at_most = sum(seconds <= limit for seconds in durations)
    below = sum(seconds < limit for seconds in durations)
    assert below < 0.99 * len(durations) <= at_most
