"""A cancel command is sent for a job that is known and goes on, and for no other."""

import json
import uuid
from pathlib import Path

import pytest

from shared.client import Client, JobEnded, JobKey, JobNotFound, JobPurged, topic_log
from shared.client.connection import Connection
from shared.messages.identity import request_id
from tests.client.services import Services, records


def commands(connection: Connection) -> int:
    topic = connection.topic("render.cancel")
    return sum(1 for _ in topic_log.records(connection, topic, topic_log.newest(connection, topic, 1000).offsets))


def test_unknown_jobs_and_those_of_other_tenants_get_the_same_answer(
    deployment: Connection, client: Client, services: Services
) -> None:
    theirs = uuid.uuid4().hex
    services.event("accepted", theirs, tenant="acme", engine="puppet")
    for job in (theirs, uuid.uuid4().hex):
        with pytest.raises(JobNotFound) as raised:
            client.cancel(job)
        assert raised.value.message == f"no job {job} of the tenant default is known"
        assert raised.value.hint is None, "whether another tenant has it is not said"
    assert commands(deployment) == 0
    client.cancel(theirs, force=True)
    assert commands(deployment) == 1, "force sends it all the same"


@pytest.mark.parametrize("stored", [True, False])
def test_a_job_that_has_ended_is_not_cancelled(
    deployment: Connection, client: Client, services: Services, stored: bool
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    if stored:
        services.done(job)
        words = "has ended already: done"
    else:
        job = uuid.uuid4().hex
        services.event("failed", job, stage="infer", code="CANCELLED", message="m")
        words = "has ended already: it was cancelled"
    with pytest.raises(JobEnded, match=words):
        client.cancel(job)
    client.purge(job) if stored else None
    if stored:
        with pytest.raises(JobPurged):
            client.cancel(job)
    assert commands(deployment) == 0


def test_a_job_that_is_only_queued_is_cancelled(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    """No service has taken it: it has neither events nor documents."""
    mine = client.submit(client.job_spec(portrait, speech, tenant="acme", labels={"take": "1"}))
    with pytest.raises(JobNotFound):
        client.cancel(mine.job_id)
    client.cancel(mine)
    assert client.job(mine).status == "queued"
    assert client.job(mine).labels == {"take": "1"}
    services.producer.produce(deployment.topic("render.requests"), b"{}")
    services.producer.produce(deployment.topic("render.requests"), json.dumps({"job_id": "of-another-client"}).encode())
    assert services.producer.flush(10) == 0
    found = records(deployment, "render.requests")
    unnamed = next(m for m in found if m.value() == b"{}")
    client.cancel(request_id(unnamed.topic(), unnamed.partition(), unnamed.offset(), b"{}"))
    client.cancel("of-another-client")
    assert commands(deployment) == 3


def test_a_job_that_only_the_object_store_knows_is_cancelled(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    client.cancel(JobKey("default", job))
    assert commands(deployment) == 1
    assert client.job(job).status == "queued"
