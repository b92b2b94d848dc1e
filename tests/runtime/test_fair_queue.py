"""Deficit round robin over tenants: nobody waits for another tenant's backlog, and nothing is lost or repeated."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.fair_queue import FairQueue
from tests.runtime.waiting_records import delivery, partition

TENANTS = st.sampled_from("abcd")
COSTS = st.sampled_from([1.0, 2.5, 10.0, 600.0])


def start(queue: FairQueue) -> Delivery | None:
    found = queue.next(lambda one: one.may_start(0.0))
    if found is not None:
        queue.take(found)
    return found


def drain(queue: FairQueue) -> list[Delivery]:
    return list(iter(lambda: start(queue), None))


@given(st.lists(st.tuples(TENANTS, COSTS, st.integers(0, 3))))
def test_every_record_starts_once_and_those_of_a_tenant_in_the_order_of_their_deadlines(
    asked: list[tuple[str, float, int]],
) -> None:
    queue = FairQueue()
    added = [delivery(*one) for one in asked]
    for one in added:
        queue.add(one)
    started = drain(queue)
    assert sorted(one.number for one in started) == [one.number for one in added]
    assert len(queue) == queue.bytes == 0
    for tenant in "abcd":
        own = [(one.share.due_ms, one.number) for one in started if one.share.tenant == tenant]
        assert own == sorted(own)


@given(st.lists(COSTS, min_size=60, max_size=60), st.lists(COSTS, min_size=60, max_size=60))
def test_tenants_that_both_wait_get_the_same_share_of_the_work(first: list[float], second: list[float]) -> None:
    queue = FairQueue()
    for tenant, costs in (("a", first), ("b", second)):
        for cost in costs:
            queue.add(delivery(tenant, cost))
    waiting, spent = Counter({"a": len(first), "b": len(second)}), {"a": 0.0, "b": 0.0}
    while min(waiting.values()) > 0:
        found = start(queue)
        assert found is not None
        waiting[found.share.tenant] -= 1
        spent[found.share.tenant] += found.share.cost
        # The bound of the algorithm: a quantum and the dearest record for each of the two.
        assert abs(spent["a"] - spent["b"]) <= 3 * 600.0


@given(st.integers(2, 300))
def test_one_record_of_another_tenant_waits_for_one_start(backlog: int) -> None:
    queue = FairQueue()
    for _ in range(backlog):
        queue.add(delivery("large"))
    assert start(queue) is not None
    queue.add(delivery("small"))
    assert "small" in [one.share.tenant for one in (start(queue), start(queue)) if one is not None]


def test_seconds_of_speech_are_shared_and_not_records() -> None:
    queue = FairQueue()
    for _ in range(100):
        queue.add(delivery("long", 60.0))
        queue.add(delivery("short", 1.0))
    started = Counter(one.share.tenant for one in (start(queue) for _ in range(61)) if one is not None)
    assert started == {"long": 1, "short": 60}


def test_records_that_may_not_start_hold_nobody_up() -> None:
    queue, unknown = FairQueue(), partition(known=False)
    held = [delivery("a", owned=unknown), delivery("b", owned=unknown)]
    for one in (*held, delivery("b")):
        queue.add(one)
    assert [one.share.tenant for one in drain(queue)] == ["b"]
    assert len(queue) == 2
    assert queue.drop([unknown]) == held
    assert len(queue) == 0


def test_tenant_that_comes_back_has_saved_nothing() -> None:
    """Credit ends with the queue of a tenant: otherwise one that was alone could start many records in a row."""
    queue = FairQueue()
    queue.add(delivery("dear", 600.0))
    queue.add(delivery("a"))
    assert len(drain(queue)) == 2
    for tenant in "aaabbb":
        queue.add(delivery(tenant))
    assert [one.share.tenant for one in drain(queue)] == list("ababab")


def test_dear_record_gives_no_other_tenant_a_long_visit() -> None:
    queue = FairQueue()
    for _ in range(200):
        queue.add(delivery("large", 5.0))
    queue.add(delivery("dear", 600.0))
    queue.add(delivery("small", 5.0))
    first = [one.share.tenant for one in (start(queue) for _ in range(3)) if one is not None]
    assert "small" in first
    assert "dear" in [one.share.tenant for one in drain(queue)[:125]], "it is its turn after as many seconds of another"


def test_keys_and_headers_count_as_bytes() -> None:
    """Anyone who may write requests chooses their size."""
    queue, one = FairQueue(), delivery(value=b"12")
    one.record = replace(one.record, key=b"345", headers=[("678", b"90"), ("a", None)])
    queue.add(one)
    assert queue.bytes == 2 + 3 + 3 + 2 + 1
    assert drain(queue) == [one]
    assert queue.bytes == 0
