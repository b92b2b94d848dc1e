"""Which events are read, and how many."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from shared.client import event_log
from shared.client.connection import Connection
from shared.client.event_log import event_of
from shared.client.job_key import JobKey
from shared.client.topic_log import shares
from tests.client.events import event
from tests.client.services import Services


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 5000))
def test_a_bounded_read_takes_the_whole_budget_or_everything(sizes: list[int], most: int) -> None:
    parts = shares(sizes, most)
    assert sum(parts) == min(sum(sizes), most)
    assert all(0 <= part <= size for part, size in zip(parts, sizes, strict=True))


def test_budget_that_small_partitions_leave_over_goes_to_large_ones() -> None:
    assert shares([1000, 2, 1000, 0], 402) == [200, 2, 200, 0]


def test_an_event_belongs_to_the_job_of_its_tenant_and_id() -> None:
    value = event("accepted", "j", engine="puppet").model_dump_json().encode()
    assert event_of(JobKey("default", "j"), b"j", value) is not None
    assert event_of(JobKey("acme", "j"), b"j", value) is None
    assert event_of(JobKey("default", "k"), b"j", value) is None
    assert event_of(JobKey("default", "k"), b"k", value) is None, "a key that lies"
    assert event_of(JobKey("default", "j"), None, value) is None
    assert event_of(JobKey("default", "j"), b"j", b"{}") is None


def test_a_bounded_scan_reads_no_more_than_its_budget(deployment: Connection, services: Services) -> None:
    ids = [uuid.uuid4().hex for _ in range(40)]
    for one in ids:
        services.event("accepted", one, engine="puppet")
    assert len(list(event_log.scan(deployment, event_log.newest(deployment, 25)))) == 25
    assert len(list(event_log.scan(deployment, event_log.newest(deployment, 3)))) == 3
    offsets = event_log.newest(deployment, 1000)
    assert {event.job_id for event in event_log.scan(deployment, offsets)} == set(ids)
    assert list(event_log.scan(deployment, offsets)) == [], "it continues where it stopped"


def test_a_read_goes_on_where_the_last_one_ended(deployment: Connection, services: Services) -> None:
    services.event("accepted", "one", engine="puppet")
    offsets = event_log.newest(deployment, 1000)
    assert [event.job_id for event in event_log.scan(deployment, offsets)] == ["one"]
    services.event("accepted", "two", engine="puppet")
    assert [event.job_id for event in event_log.scan(deployment, offsets)] == ["two"]


def test_positions_behind_the_end_are_of_a_former_topic(deployment: Connection, services: Services) -> None:
    """The topic was made anew: nothing of it may be missed."""
    services.event("accepted", "one", engine="puppet")
    former = {partition: offset + 1000 for partition, offset in event_log.end(deployment).items()}
    assert [event.job_id for event in event_log.scan(deployment, former)] == ["one"]
