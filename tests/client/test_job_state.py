"""The state of a job, computed from its events."""

from shared.client.history import states
from shared.client.job_state import JobState
from shared.messages.events import Failed, RejectedEvent
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
