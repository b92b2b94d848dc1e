"""Cancel and purge of a batch act on its own jobs alone, and one job's failure stops nothing."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client import (
    BatchState,
    Client,
    JobConflict,
    JobNotFinished,
    JobPurged,
    PurgeIncomplete,
    batch_actions,
    request_log,
    topic_log,
)
from shared.client.connection import Connection
from shared.storage import keys
from tests.client.services import Services, own_id, records

Sent = list[Any]


def place(index: int, total: int) -> dict[str, Any]:
    return {"batch": {"id": "b1", "index": index, "total": total}}


@pytest.fixture
def rows(deployment: Connection, client: Client, portrait: Path, speech: Path, tmp_path: Path) -> Sent:
    """The records of a batch of two jobs, of which no service has taken any."""
    path = tmp_path / "jobs.csv"
    lines = [f"{uuid.uuid4().hex},portrait.png,speech.wav" for _ in range(2)]
    path.write_text("\n".join(["job_id,portrait,speech", *lines]))
    jobs = [submission.job_id.encode() for submission in client.submit_batch(client.batch(path, batch_id="b1"))]
    topic = deployment.topic("render.requests.bulk")
    read = list(topic_log.records(deployment, topic, topic_log.newest(deployment, topic, 100).offsets))
    return sorted(read, key=lambda message: jobs.index(message.key()))


def job_id(message: Any) -> str:
    return str(message.key().decode())


def lost_row(services: Services, message: Any) -> str:
    """Another request has the id of the row, and its video is there."""
    services.claim(job_id(message), "theirs", b"another body")
    services.request_id = "theirs"
    services.done(job_id(message))
    return job_id(message)


def refuse(deployment: Connection, message: Any, index: int) -> None:
    Services(deployment, message).event("conflict", job_id(message), message="m", **place(index, 2))


def video_of(deployment: Connection, job: str) -> bool:
    prefix = keys.attempt_prefix("default", job, "encode", "a1")
    return any(entry.key.endswith("video.mp4") for entry in deployment.artifacts.list_prefix(prefix))


@pytest.mark.parametrize("notified", [True, False])
def test_the_job_of_another_request_is_neither_cancelled_nor_purged(
    deployment: Connection, client: Client, services: Services, rows: Sent, notified: bool
) -> None:
    """Notified: the event `conflict` was read. Otherwise the stored request alone shows whose job it is."""
    theirs = lost_row(services, rows[0])
    if notified:
        refuse(deployment, rows[0], 0)
    state = client.batch_state("b1")
    results = list(client.purge_batch(state, force=True))
    assert isinstance(results[0].error, JobConflict)
    assert results[1].purged is not None
    assert video_of(deployment, theirs)
    assert client.job(theirs).status == "done"


def test_a_running_job_of_another_request_is_not_cancelled(
    deployment: Connection, client: Client, services: Services, rows: Sent
) -> None:
    services.claim(job_id(rows[0]), "theirs", b"another body")
    state = client.batch_state("b1")
    assert [key.job_id for key in client.cancel_batch(state)] == [job_id(rows[1])]
    assert state.counts == {"queued": 1, "refused": 1}


def test_a_refused_row_ends_as_refused_in_whatever_order_its_events_come(
    deployment: Connection, client: Client, services: Services, rows: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_row(services, rows[0])
    refuse(deployment, rows[0], 0)
    Services(deployment, rows[1]).done(job_id(rows[1]), **place(1, 2))
    state = client.batch_state("b1")
    assert state.counts == {"done": 1, "refused": 1}
    assert state.has_ended
    started = BatchState("b1", "default")
    refused = client.past_events(job_id(rows[0]))[0][0]
    for event in (refused, *client.past_events(job_id(rows[1]))[0]):
        started.apply(event)
    assert started.counts == {"done": 1, "refused": 1}, "without the requests"
    accepted = Services(deployment, rows[0]).event("accepted", job_id(rows[0]), engine="puppet", **place(0, 2))
    assert client.batch_state("b1").counts == {"accepted": 1, "done": 1}, accepted


def test_ended_jobs_get_no_cancel_command(
    deployment: Connection, client: Client, services: Services, rows: Sent
) -> None:
    """Not even when they end after the state was read."""
    state = client.batch_state("b1")
    Services(deployment, rows[0]).done(job_id(rows[0]), **place(0, 2))
    client.purge(job_id(rows[1]), force=True)
    assert client.cancel_batch(state) == []


def test_a_job_purged_by_force_stays_in_its_batch(deployment: Connection, client: Client, rows: Sent) -> None:
    client.purge(job_id(rows[0]), force=True)
    state = client.batch_state("b1")
    assert state.counts == {"queued": 1, "purged": 1}
    events = client.past_events(job_id(rows[0]))[0]
    assert sorted(event.type for event in events) == ["failed", "purged"]
    assert {event.batch.id for event in events if event.batch is not None} == {"b1"}
    results = list(client.purge_batch(state))
    assert [type(result.error) for result in results] == [JobPurged, JobNotFinished]


def test_a_job_that_cannot_be_purged_does_not_stop_the_others(
    client: Client, services: Services, rows: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = batch_actions.purge

    def refusing(connection: Connection, key: Any, **options: Any) -> Any:
        if key.job_id == job_id(rows[0]):
            raise PurgeIncomplete("refused")
        return purge(connection, key, **options)

    monkeypatch.setattr(batch_actions, "purge", refusing)
    results = list(client.purge_batch(client.batch_state("b1"), force=True))
    assert [result.purged is not None for result in results] == [False, True]
    assert isinstance(results[0].error, PurgeIncomplete)


def test_queued_jobs_are_purged_without_a_scan_for_each(
    client: Client, rows: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = client.batch_state("b1")

    def never(*_: Any) -> None:
        raise AssertionError("render.requests is read again")

    monkeypatch.setattr(request_log, "find", never)
    assert [result.purged is not None for result in client.purge_batch(state, force=True)] == [True, True]
    assert client.batch_state("b1").counts == {"purged": 2}


def test_every_upload_below_the_job_id_is_deleted(
    deployment: Connection, client: Client, services: Services, rows: Sent
) -> None:
    """Those of a refused request, and those of a job whose stored request is gone; never a file of others."""
    mine = Services(deployment, rows[0])
    job, body = job_id(rows[0]), rows[0].value()
    mine.claim(job, own_id(rows[0]), body)
    mine.done(job, **place(0, 2))
    for name, metadata in (("refused", {"uploaded-by": "lipstage-client"}), ("others", {})):
        deployment.s3.put_object(
            Bucket="lipstage-inputs", Key=f"default/{job}/{name}", Body=b"portrait", Metadata=metadata
        )
    deployment.artifacts.delete([keys.request("default", job)])
    assert client.purge(job).deleted["inputs"].objects == 3
    left = deployment.s3.list_objects_v2(Bucket="lipstage-inputs", Prefix=f"default/{job}/")
    assert [entry["Key"] for entry in left["Contents"]] == [f"default/{job}/others"]


@pytest.mark.parametrize("document", ["request", "end"])
def test_a_job_with_a_damaged_document_is_purged(
    deployment: Connection, client: Client, rows: Sent, document: str
) -> None:
    services, job = Services(deployment, rows[0]), job_id(rows[0])
    services.claim(job, own_id(rows[0]), rows[0].value())
    services.done(job, **place(0, 2))
    key = keys.request("default", job) if document == "request" else keys.end("default", job)
    deployment.documents.put(key, {"not": "a document"})
    assert client.purge(job, force=document == "end").deleted["inputs"].objects == 2
    assert client.job(job).status == "purged"
    assert next(records(deployment, "render.events")) is not None
