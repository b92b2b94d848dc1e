"""The state of a job, computed from its events."""

import itertools
from typing import Any

import pytest

from shared.client import job_fold
from shared.client.history import states
from shared.client.job_fold import JobRecord
from shared.client.job_state import JobState
from shared.messages.events import AnyEvent, Failed, RejectedEvent
from tests.client.events import event, waiting


def test_progress_never_goes_back_and_the_terminal_event_is_final() -> None:
    job = JobState("j")
    for one in (
        event("accepted", engine="puppet"),
        event("started", stage="infer"),
        event("progress", stage="infer", percent=60, done=6, total=10),
        event("progress", stage="infer", percent=30, done=3, total=10),
    ):
        job.apply(one)
    assert (job.status, job.current_stage, job.stages["infer"].percent) == ("running", "infer", 60)
    job.apply(event("finished", stage="infer", seconds=2.5))
    job.apply(event("progress", stage="infer", percent=90, done=9, total=10))
    assert (job.stages["infer"].state, job.stages["infer"].percent) == ("finished", 100.0)
    job.apply(event("failed", stage="encode", code="CANCELLED", message="m"))
    job.apply(event("started", stage="encode"))
    assert job.status == "cancelled"
    assert isinstance(job.terminal_event, Failed)


def test_a_conflict_ends_nothing() -> None:
    job = JobState("j")
    job.apply(event("accepted", engine="puppet"))
    job.apply(event("conflict", message="taken"))
    assert job.status == "accepted"
    assert job.conflicts == ["r"]


def test_a_second_attempt_starts_over() -> None:
    job = JobState("j")
    job.apply(event("progress", stage="infer", percent=80, done=8, total=10))
    job.apply(event("started", stage="infer", attempt=2))
    job.apply(event("progress", stage="infer", attempt=2, percent=90, done=9, total=10))
    assert (job.stages["infer"].attempt, job.stages["infer"].percent) == (2, 90)


def test_a_job_waits_until_its_next_event() -> None:
    job = JobState("j")
    job.apply(waiting())
    assert (job.status, job.current_stage, job.stages["face"].waiting_for) == ("waiting", "face", "NO_SPACE")
    assert job.as_json()["waiting"] == {"stage": "face", "code": "NO_SPACE", "message": "1 MiB is free"}
    job.apply(event("conflict", message="taken"))
    assert job.status == "waiting", "another request's fate is no news of this job"
    job.apply(event("started", stage="face"))
    assert (job.status, job.stages["face"].waiting_for, job.as_json()["waiting"]) == ("running", "", None)
    job.apply(waiting())
    job.apply(event("failed", stage="face", code="CANCELLED", message="m"))
    assert (job.status, job.waiting) == ("cancelled", None)
    job.apply(waiting())
    assert job.status == "cancelled"


def test_a_request_that_waited_in_the_first_stage_is_accepted_afterwards() -> None:
    job = JobState("j")
    job.apply(event("waiting", stage="audio", code="STORE_UNAVAILABLE", message="m"))
    job.apply(event("accepted", engine="puppet"))
    assert job.status == "accepted"


def test_jobs_are_sorted_newest_first() -> None:
    jobs = states([event("accepted", "old", 1, engine="puppet"), event("accepted", "new", 9, engine="puppet")])
    assert [job.job_id for job in jobs] == ["new", "old"]


def test_jobs_of_two_tenants_with_one_id_are_two_jobs() -> None:
    jobs = states([event("accepted", "j", 1, engine="puppet"), event("started", "j", 9, tenant="acme", stage="face")])
    assert [(job.tenant, job.status) for job in jobs] == [("acme", "running"), ("default", "accepted")]


def test_an_event_with_unknown_fields_is_read() -> None:
    one = event("rejected", stage="audio", code="AUDIO_EMPTY", message="m", later=1)
    assert isinstance(one, RejectedEvent)


def retrying(**fields: Any) -> AnyEvent:
    due = {"tier": "1m", "due_ms": 61_000, "next_attempt": 3}
    return event("retrying", stage="face", code="STORE_UNAVAILABLE", message="503", **due | fields)


def test_a_job_waits_for_its_retry() -> None:
    job = JobState("j")
    job.apply(event("started", stage="face", attempt=2))
    job.apply(retrying())
    assert (job.status, job.current_stage, job.stages["face"].waiting_for) == ("waiting", "face", "STORE_UNAVAILABLE")
    assert job.as_json()["waiting"] == {
        "stage": "face",
        "code": "STORE_UNAVAILABLE",
        "message": "503",
        "tier": "1m",
        "due_ms": 61_000,
        "next_attempt": 3,
    }
    job.apply(event("started", stage="face", attempt=3))
    assert (job.status, job.waiting, job.stages["face"].attempt) == ("running", None, 3)


PLACE = {"topic": "render.dlq", "partition": 0, "offset": 7}
LIFE = [
    event("accepted", engine="puppet", time_ms=1),
    event("finished", stage="audio", seconds=1, time_ms=2),
    event("started", stage="face", attempt=4, time_ms=3),
    event("failed", stage="face", code="INTERNAL", message="m", dead_letter=PLACE, time_ms=4),
    event("replayed", stage="face", dead_letter=PLACE, replays=1, time_ms=5),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_a_replay_reopens_a_failed_job_in_whatever_order_events_arrive(order: tuple[int, ...]) -> None:
    job = JobState("j")
    for place in order:
        job.apply(LIFE[place])
    assert (job.has_ended, job.terminal_event, job.replays) == (False, None, 1)
    if order == tuple(range(5)):
        assert job.status == "running"
    job.apply(event("finished", stage="face", seconds=1, replays=1))
    assert job.stages["face"].state == "finished"
    job.apply(event("failed", stage="infer", code="CRASH_LOOP", message="m", replays=1))
    job.apply(LIFE[3])
    assert job.status == "failed"
    assert job.terminal_event is not None
    assert job.terminal_event.replays == 1


@pytest.mark.parametrize(
    "ended",
    [
        event("failed", stage="face", code="CANCELLED", message="m"),
        event("rejected", stage="face", code="NO_FACE", message="m"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_other_ends_are_final(ended: AnyEvent, is_first: bool) -> None:
    job = JobState("j")
    for one in (ended, LIFE[4]) if is_first else (LIFE[4], ended):
        job.apply(one)
    assert job.terminal_event == ended


@pytest.mark.parametrize("is_first", [True, False])
def test_nothing_of_the_user_is_left_after_a_purge(is_first: bool) -> None:
    of = {"labels": {"name": "SECRET"}, "owner_hash": "k1:SECRET", "consent": "SECRET"}
    end = event("failed", stage="face", code="INTERNAL", message="SECRET", **of)
    job = JobState("j")
    life = [event("accepted", engine="puppet", **of), *([end, event("purged")] if is_first else [event("purged"), end])]
    for one in life:
        job.apply(one)
    assert job.status == "purged"
    assert "SECRET" not in job_fold.dump(JobRecord(job)).decode()
    assert "SECRET" not in str(job.as_json())
