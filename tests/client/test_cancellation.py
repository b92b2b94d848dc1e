"""A job that is known and goes on is ended as cancelled, and a command is sent for it; for no other."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from shared.client import Client, Deployment, JobEnded, JobKey, JobNotFound, JobPurged, cancellation, topic_log
from shared.client.cancellation import send_command
from shared.client.connection import Connection
from shared.local import ports
from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.identity import request_id
from shared.storage import markers
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
    ended = client.cancel(mine)
    assert ended == client.terminal_event(mine)
    assert client.job(mine).status == "cancelled"
    assert client.job(mine).labels == {"take": "1"}
    with pytest.raises(JobEnded, match="it was cancelled"):
        client.cancel(mine)
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
    assert client.job(job).status == "cancelled"


def test_a_queued_job_ends_at_once_and_its_waiting_client_reads_it(
    deployment: Connection, client: Client, portrait: Path, speech: Path
) -> None:
    start = client.position()
    mine = client.submit(client.job_spec(portrait, speech))
    ended = client.cancel(mine)
    assert ended is not None
    event = client.wait(mine, start=start, timeout_s=30)
    assert (event, event.type, getattr(event, "code", None)) == (ended, "failed", Code.CANCELLED)
    record = markers.read_request(deployment.documents, "default", mine.job_id)
    assert record is not None
    assert (record.request_id, record.body_sha256) == (mine.request_id, mine.body_sha256)


def test_a_running_job_is_ended_with_the_stage_that_it_was_in(client: Client, services: Services) -> None:
    job = uuid.uuid4().hex
    services.claim(job, services.request_id, b"body")
    services.event("accepted", job, engine="puppet", labels={"take": "1"})
    services.event("started", job, stage="infer")
    ended = client.cancel(job)
    assert ended is not None
    assert (ended.stage, ended.labels, ended.request_id) == ("infer", {"take": "1"}, services.request_id)


def test_a_job_that_ends_meanwhile_is_not_reported_as_cancelled(
    deployment: Connection, client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage stores its end between the look-up and that of the cancel."""
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")

    def send_and_end(connection: Connection, key: JobKey) -> None:
        send_command(connection, key)
        services.done(job)

    monkeypatch.setattr(cancellation, "send_command", send_and_end)
    with pytest.raises(JobEnded, match="has ended already: done"):
        client.cancel(job)
    end = client.terminal_event(job)
    assert end is not None
    assert end.type == "done"


def test_a_stage_that_finishes_after_the_cancel_does_not_undo_it(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    ended = client.cancel(job)
    services.done(job)
    assert client.terminal_event(job) == ended


def test_a_job_that_a_replay_continues_is_cancelled_with_the_number_of_the_replay(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    base = {"job_id": job, "tenant": "default", "request_id": "r", "time_ms": 1}
    failed = Failed(**base, stage="face", code=Code.POISON, message="m")
    markers.claim_end(deployment.documents, "default", job, failed)
    with pytest.raises(JobEnded, match="failed"):
        client.cancel(job)
    assert markers.continue_job(deployment.documents, "default", job, 2) is None
    ended = client.cancel(job)
    assert ended is not None
    assert (ended.replays, client.terminal_event(job)) == (2, ended)
    assert markers.continue_job(deployment.documents, "default", job, 3) == ended


def test_a_job_that_is_known_by_its_events_alone_gets_the_command(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.event("accepted", job, engine="puppet")
    assert client.cancel(job) is None
    assert commands(deployment) == 1


def test_without_the_object_store_the_command_is_sent_for_a_known_job_only(
    deployment: Connection, services: Services, portrait: Path, speech: Path, client: Client
) -> None:
    queued = client.submit(client.job_spec(portrait, speech))
    running, ended = uuid.uuid4().hex, uuid.uuid4().hex
    services.event("accepted", running, engine="puppet")
    services.event("failed", ended, stage="infer", code="INTERNAL", message="m")
    away = replace(deployment.deployment.s3, endpoint_url=f"http://127.0.0.1:{ports.pick(1)[0]}")
    deaf = Deployment(deployment.deployment.runtime, deployment.deployment.storage, away)
    with Client(deaf) as other:
        for job in (queued.job_id, running):
            assert other.cancel(job) is None
        with pytest.raises(JobEnded):
            other.cancel(ended)
        with pytest.raises(JobNotFound):
            other.cancel(uuid.uuid4().hex)
    assert commands(deployment) == 2
