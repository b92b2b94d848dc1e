"""The fold of events: pure, and indifferent to events that are delivered again."""

import json
from functools import reduce

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.client import job_fold
from shared.client.event_log import parse
from shared.client.history import states
from shared.client.job_fold import JobRecord
from shared.client.job_state import MAX_KEPT, JobState
from shared.client.purged_end import without_user_data
from shared.messages.events import AnyEvent, Done, Failed, RejectedEvent
from tests.projection.events import DONE, EVENTS, TERMINALS, event

LIVES = st.lists(EVENTS, min_size=1, max_size=12)


def fold(events: list[AnyEvent], start: JobState | None = None) -> JobState:
    state = reduce(job_fold.apply, events, start)
    assert state is not None
    return state


@settings(max_examples=300)
@given(LIVES, st.data())
def test_events_delivered_again_from_any_one_on_change_nothing(events: list[AnyEvent], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(events) - 1))
    assert fold(events[first:], fold(events)) == fold(events)


@given(LIVES)
def test_each_event_twice_is_each_event_once(events: list[AnyEvent]) -> None:
    assert fold([one for one in events for _ in range(2)]) == fold(events)


@given(LIVES, EVENTS)
def test_apply_leaves_its_argument_alone(events: list[AnyEvent], last: AnyEvent) -> None:
    before, again = fold(events), fold(events)
    job_fold.apply(before, last)
    assert before == again


@given(LIVES)
def test_the_scan_and_the_record_give_the_same_state(events: list[AnyEvent]) -> None:
    record = job_fold.load(job_fold.dump(JobRecord(fold(events))))
    assert record is not None
    assert [record.state] == states(events)
    assert record.state.as_json() == states(events)[0].as_json()
    assert job_fold.read(json.loads(job_fold.dump(record))) == record


@given(LIVES, st.data())
def test_what_the_order_of_events_cannot_change(events: list[AnyEvent], data: st.DataObject) -> None:
    """Partitions are read side by side: after growth of the topic the events of one job lie on two."""
    one, other = fold(events), fold(data.draw(st.permutations(events)))
    for name in ("first_ms", "last_ms", "replays"):
        assert getattr(one, name) == getattr(other, name)
    assert sorted(one.conflicts) == sorted(other.conflicts)
    assert (one.purged_ms is None) == (other.purged_ms is None)


def is_final(one: AnyEvent) -> bool:
    return isinstance(one, Done | RejectedEvent) or (isinstance(one, Failed) and one.code == "CANCELLED")


@given(LIVES, TERMINALS, LIVES)
@example([event("accepted", engine="puppet")], event("failed", stage="face", code="CANCELLED", message="m"),
         [event("started", stage="infer", replays=1)])  # fmt: skip
def test_only_a_replay_or_a_final_end_follows_a_failure_and_nothing_a_final_end(
    before: list[AnyEvent], end: AnyEvent, late: list[AnyEvent]
) -> None:
    ended = fold([*before, end])
    after = fold(late, ended)
    if ended.terminal_event is None:  # A failure before a replay that is known already.
        return
    if is_final(ended.terminal_event) or not any(is_final(one) or one.replays > ended.replays for one in late):
        assert after.terminal_event is not None
        assert without_user_data(after.terminal_event) == without_user_data(ended.terminal_event)
        assert after.status in (ended.status, "purged")


def test_a_video_that_another_attempt_completed_after_the_failure_is_done() -> None:
    life = [event("accepted", engine="sonic"), event("failed", stage="infer", code="CRASH_LOOP", message="m")]
    assert fold([*life, event("done", **DONE)]).status == "done"
    assert fold([*life, event("done", **DONE), life[-1]]).status == "done"


@given(LIVES, st.dictionaries(st.text(min_size=1).map(lambda name: "x_" + name), st.integers(), max_size=3))
def test_unknown_fields_do_not_change_the_state(events: list[AnyEvent], unknown: dict[str, int]) -> None:
    def with_unknown(one: AnyEvent) -> AnyEvent:
        read = parse(json.dumps(one.model_dump(mode="json") | unknown).encode())
        assert read is not None
        return read

    told = [with_unknown(one) for one in events]
    assert fold(told).status == fold(events).status
    assert fold(told).as_json()["stages"] == fold(events).as_json()["stages"]


def test_an_unknown_type_is_no_event() -> None:
    known = event("started", stage="face").model_dump(mode="json")
    assert parse(json.dumps(known).encode()) is not None
    assert parse(json.dumps(known | {"type": "teleported"}).encode()) is None


def test_a_refused_request_changes_nothing_of_the_job_that_has_the_id() -> None:
    life = [event("accepted", engine="puppet"), event("started", stage="face")]
    state = fold([*life, event("conflict", message="taken", request_id="r2", time_ms=9_999)])
    state.conflicts.clear()
    assert state == fold(life)


def test_refused_requests_do_not_fill_the_memory() -> None:
    state = fold([event("conflict", message="taken", request_id=f"r{number}") for number in range(3 * MAX_KEPT)])
    assert len(state.conflicts) == MAX_KEPT


def test_a_purged_job_stays_purged() -> None:
    state = fold([event("accepted", engine="puppet"), event("purged"), event("started", stage="face")])
    assert state.status == "purged"


def test_a_record_of_another_version_is_none() -> None:
    value = json.loads(job_fold.dump(JobRecord(fold([event("accepted", engine="puppet")]))))
    assert job_fold.load(json.dumps(value | {"later": 1}).encode()) is not None
    assert job_fold.load(json.dumps(value | {"version": 99}).encode()) is None
    for hostile in (None, b"", b"\xff\x00", b"[" * 100_000, b'{"state": 1}', b"null"):
        assert job_fold.load(hostile) is None
