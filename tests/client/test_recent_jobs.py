"""Lists of jobs include those that no service has taken yet."""

from pathlib import Path

import pytest

from shared.client import Client, JobKey, history
from shared.client.connection import Connection
from shared.client.errors import StoreUnreachable
from tests.cli.conftest import Lipstage, lipstage
from tests.client.services import Services, records

__all__ = ["lipstage"]


def test_queued_jobs_are_listed_and_filtered(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    queued = client.submit(client.job_spec(portrait, speech, tenant="acme"))
    taken = client.submit(client.job_spec(portrait, speech))
    services.event("accepted", taken.job_id, engine="puppet")
    assert {job.job_id: job.status for job in client.jobs()} == {queued.job_id: "queued", taken.job_id: "accepted"}
    assert [job.job_id for job in client.jobs(statuses=["queued"])] == [queued.job_id]
    assert client.jobs(statuses=["queued"], tenant="default") == []


def test_a_taken_job_whose_events_were_not_read_is_not_shown_as_queued(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    taken = client.submit(client.job_spec(portrait, speech))
    queued = client.submit(client.job_spec(portrait, speech))
    message = next(m for m in records(deployment, "render.requests") if m.key() == taken.job_id.encode())
    services.claim(taken.job_id, taken.request_id, message.value())
    services.event("accepted", taken.job_id, engine="puppet")
    for number in range(64):
        services.event("accepted", f"later-{number}", engine="puppet")
    listed = client.jobs(max_events=1)
    assert queued.job_id in [job.job_id for job in listed]
    assert taken.job_id not in [job.job_id for job in listed]


@pytest.mark.parametrize("limit", [1, 2])
def test_the_command_says_that_more_jobs_match(
    deployment: Connection, services: Services, lipstage: Lipstage, limit: int
) -> None:
    for number in range(2):
        services.event("accepted", f"job-{number}", engine="puppet")
    ran = lipstage("jobs", "--limit", limit)
    assert ("more jobs match: raise --limit" in ran.err) is (limit == 1)
    assert ran.out.count("job-") == limit


def test_a_store_that_does_not_answer_is_asked_for_one_job(
    deployment: Connection,
    client: Client,
    services: Services,
    portrait: Path,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each question takes seconds there; no job is then shown as queued that may be further."""
    for _ in range(3):
        client.submit(client.job_spec(portrait, speech))
    for number in range(64):
        services.event("accepted", f"later-{number}", engine="puppet")
    asked: list[JobKey] = []

    def away(_: Connection, job: JobKey) -> None:
        asked.append(job)
        raise StoreUnreachable("the object store does not answer")

    monkeypatch.setattr(history, "stored_request", away)
    assert [job.status for job in client.jobs(max_events=1) if job.status == "queued"] == []
    assert len(asked) == 1
