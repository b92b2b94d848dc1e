"""Which lane starts next: interactive records first, and a bulk one at least at every fifth start while both wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.lanes import BULK, INTERACTIVE, lane_of, lane_topic, other_lane
from shared.runtime.consume.lane_queues import BULK_EVERY, MAX_BYTES, LaneQueues
from tests.runtime.waiting_records import delivery, partition

LANE_TOPICS = {INTERACTIVE: partition("render.face"), BULK: partition("render.face.bulk")}
Lane = str


def add(queues: LaneQueues, lane: Lane, count: int = 1, value: bytes = b"") -> None:
    for _ in range(count):
        queues.add(delivery(owned=LANE_TOPICS[lane], value=value))  # type: ignore[index]


def starts(queues: LaneQueues, count: int) -> str:
    """The lanes of the records that start, as ``i`` and ``b``."""
    found = []
    for _ in range(count):
        one = queues.next(lambda one: one.may_start(0.0))
        if one is None:
            break
        queues.take(one)
        found.append(lane_of(one.record.topic)[0])
    return "".join(found)


def test_interactive_records_start_first_and_bulk_ones_are_never_starved() -> None:
    queues = LaneQueues(1000)
    add(queues, BULK, 3)
    add(queues, INTERACTIVE, 10)
    assert starts(queues, 20) == "iiiibiiiibiib"


def test_bulk_records_start_while_no_interactive_one_waits() -> None:
    queues = LaneQueues(1000)
    add(queues, BULK, 3)
    assert starts(queues, 2) == "bb"
    add(queues, INTERACTIVE)
    assert starts(queues, 2) == "ib"


def test_interactive_starts_that_no_bulk_record_waited_for_do_not_count() -> None:
    queues = LaneQueues(1000)
    add(queues, INTERACTIVE, 20)
    assert starts(queues, 15) == "i" * 15
    add(queues, BULK)
    assert starts(queues, 6) == "iiiibi"


@given(st.lists(st.sampled_from([INTERACTIVE, BULK, "start"]), max_size=200))
def test_whenever_both_wait_a_bulk_start_is_at_most_five_starts_away(steps: list[Lane]) -> None:
    queues, waiting, passed = LaneQueues(1000), {"i": 0, "b": 0}, 0
    for step in steps:
        if step != "start":
            add(queues, step)
            waiting[step[0]] += 1
            continue
        lane = starts(queues, 1)
        if not lane:
            assert waiting == {"i": 0, "b": 0}
            continue
        both = waiting["i"] > 0 and waiting["b"] > 0
        waiting[lane] -= 1
        passed = passed + 1 if lane == "i" and both else 0 if lane == "b" else passed
        assert passed < BULK_EVERY
        assert lane == "i" or not both or passed == 0


def test_a_lane_is_full_by_records_or_by_bytes_and_the_other_is_not() -> None:
    queues = LaneQueues(4)
    add(queues, BULK, 3)
    assert (queues.fill(INTERACTIVE), queues.fill(BULK)) == (0.0, 0.75)
    add(queues, BULK)
    assert queues.fill(BULK) == 1.0
    add(queues, INTERACTIVE, value=bytes(MAX_BYTES))
    assert queues.fill(INTERACTIVE) == 1.0
    assert len(queues) == 5
    assert starts(queues, 1) == "i"
    assert queues.fill(INTERACTIVE) == 0.0


@pytest.mark.parametrize("topic", ["render.requests", "staging.render.infer.puppet"])
def test_topics_of_the_lanes_name_each_other(topic: str) -> None:
    bulk = lane_topic(topic, BULK)
    assert (lane_of(topic), lane_of(bulk), lane_topic(topic, INTERACTIVE)) == (INTERACTIVE, BULK, topic)
    assert (other_lane(topic), other_lane(bulk)) == (bulk, topic)
