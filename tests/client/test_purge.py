"""A purge deletes the user's data, says what it deleted and what stays, and leaves a job that has ended."""

import hashlib
import json
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.client import (
    BrokerUnreachable,
    Client,
    Deployment,
    JobKey,
    JobNotFinished,
    JobNotFound,
    JobPurged,
    purge,
    purged_dead_letters,
    records_kept,
)
from shared.client.connection import Connection
from shared.client.purged_objects import Count
from shared.messages.dead_letters import dead_letter_headers_of
from shared.messages.events import Done
from shared.messages.headers import DLQ
from shared.messages.refs import ArtifactRef, InputRef, OutputRef
from shared.messages.task import StageOutput
from shared.storage import cache_index, erased_jobs, frames, keys, markers
from shared.storage.markers import RequestRecord
from shared.storage.settings import StorageSettings
from tests.client.services import VIDEO, Services, now_ms, records

SECRET = "a-name-of-a-person"


def submitted(deployment: Connection, client: Client, portrait: Path, speech: Path, **fields: Any) -> tuple[str, bytes]:
    """A job whose request is stored as the front of the pipeline does it; its id, and the request's record."""
    submission = client.submit(client.job_spec(portrait, speech, labels={"who": SECRET}, **fields))
    value = next(m.value() for m in records(deployment, "render.requests") if m.key() == submission.job_id.encode())
    body = json.loads(value)
    inputs = tuple(InputRef.model_validate(body[role]) for role in ("portrait", "speech"))
    record = RequestRecord(
        request_id=submission.request_id, body_sha256=hashlib.sha256(value).hexdigest(), inputs=inputs
    )
    markers.claim_request(deployment.documents, submission.tenant, submission.job_id, record)
    return submission.job_id, value


def test_every_class_of_objects_is_deleted_and_counted(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    job, _ = submitted(deployment, client, portrait, speech)
    store = deployment.artifacts
    for name in ("chunk-0.mp4", "manifest.json"):
        store.put_bytes(b"frames", keys.attempt_prefix("default", job, "infer", "a1") + name)
    frames.note(store, "default", job, "infer", "a1")
    store.put_bytes(b"state", keys.checkpoint_record("default", job, "infer"))
    store.put_bytes(b"landmarks", keys.attempt_prefix("default", job, "face", "a1") + "landmarks.npy")
    cached = store.put_bytes(b"pcm", keys.cache_prefix("default", "audio", "d" * 64, "a1") + "pcm.npy")
    deployment.documents.put(keys.cache_entry("default", "audio", "d" * 64), {"attempt": "a1"})
    markers.claim_completion(
        deployment.documents, "default", job, "audio", StageOutput(attempt="a1", artifacts={"pcm": cached})
    )
    services.done(job, labels={"who": SECRET})

    purged = client.purge(job)
    marker_bytes = purged.deleted.pop("markers").bytes
    assert marker_bytes > 0
    assert purged.deleted == {
        "video": Count(1, len(VIDEO)),
        "poster": Count(1, 3),
        "frames": Count(2, 12),
        "checkpoints": Count(1, 5),
        "face artifacts": Count(1, 9),
        "inputs": Count(2, portrait.stat().st_size + speech.stat().st_size),
        "cache": Count(1, 3),
    }
    assert purged.kept == {}
    assert purged.event_published
    assert {"render.requests", "render.face", "render.events", "render.retry.10s"} <= set(purged.records_kept)
    left = [entry.key for entry in store.list_prefix(keys.job_prefix("default", job))]
    assert left == [keys.end("default", job), keys.request("default", job)]
    assert list(store.list_prefix(keys.frames_prefix("default", job))) == []
    assert not store.exists(cached)
    assert deployment.documents.get(keys.cache_entry("default", "audio", "d" * 64)) is None
    for key in left:
        assert SECRET not in json.dumps(deployment.documents.get(key))
        assert hashlib.sha256(VIDEO).hexdigest() not in json.dumps(deployment.documents.get(key))


def test_inputs_that_others_uploaded_and_files_in_an_unknown_output_bucket_are_kept_and_counted(
    deployment: Connection, services: Services
) -> None:
    given = deployment.deployment
    # Not as an argument: pydantic merges it with the variable of the environment.
    settings = StorageSettings().model_copy(update={"output_buckets": {}})
    job = uuid.uuid4().hex
    deployment.s3.put_object(Bucket="lipstage-inputs", Key="default/shared.wav", Body=b"somebody's")
    inputs = (InputRef(key="default/shared.wav"), InputRef(key="default/never-there.png"))
    markers.claim_request(
        deployment.documents, "default", job, RequestRecord(request_id="r", body_sha256="0" * 64, inputs=inputs)
    )
    done = Done.model_validate(services.done("unrelated") | {"job_id": job})
    copy = ArtifactRef(bucket="deliveries", key=f"default/out/{job}/video.mp4", sha256=done.video.sha256, size=100)
    markers.claim_end(deployment.documents, "default", job, done.model_copy(update={"video": copy}))
    with Client(Deployment(given.runtime, settings, given.s3)) as client:
        purged = client.purge(job)
    assert purged.kept == {"other inputs": Count(1, 10), "output bucket": Count(1, 100)}
    assert "inputs" not in purged.deleted
    assert deployment.s3.get_object(Bucket="lipstage-inputs", Key="default/shared.wav")["Body"].read() == b"somebody's"


def test_files_in_an_output_bucket_are_deleted(deployment: Connection, services: Services) -> None:
    given, bucket, job = deployment.deployment, f"t{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
    deployment.s3.create_bucket(Bucket=bucket)
    names = [f"default/out/{job}/{name}" for name in ("video.mp4", "index.m3u8", "preview/a1/init.mp4")]
    for key in (*names, f"default/out/{job}-2/video.mp4"):
        deployment.s3.put_object(Bucket=bucket, Key=key, Body=b"mp4")
    record = RequestRecord(
        request_id="r", body_sha256="0" * 64, output=OutputRef(bucket="deliveries", prefix="default/out", preview=True)
    )
    markers.claim_request(deployment.documents, "default", job, record)
    services.done(job)
    settings = StorageSettings(output_buckets={"deliveries": bucket})
    with Client(Deployment(given.runtime, settings, given.s3)) as client:
        assert client.purge(job).deleted["output bucket"] == Count(3, 9)
    left = deployment.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in left] == [f"default/out/{job}-2/video.mp4"]
    stored = markers.read_request(deployment.documents, "default", job)
    assert stored is not None
    assert stored.output is None


def test_cached_outputs_that_no_marker_names_are_deleted(
    deployment: Connection, client: Client, services: Services
) -> None:
    """Of an attempt that was killed before it completed the stage."""
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    services.done(job)
    cache_index.note(deployment.documents, "default", job, "face", "d" * 64, "a1", {"portrait": "5" * 64})
    for attempt in ("a1", "a2"):
        deployment.artifacts.put_bytes(b"face", keys.cache_prefix("default", "face", "d" * 64, attempt) + "face.npy")
    assert client.purge(job).deleted["cache"] == Count(2, 8)
    (entry,) = cache_index.of_job(deployment.artifacts, "default", job)
    assert cache_index.inputs_of(deployment.documents, entry) == frozenset(), "only an attempt that still runs needs it"


def test_what_stays_is_dated_and_the_erasure_is_recorded(
    deployment: Connection, client: Client, services: Services
) -> None:
    key = JobKey(f"t{uuid.uuid4().hex[:12]}", uuid.uuid4().hex)
    services.done(key.job_id, tenant=key.tenant, labels={"who": SECRET})
    before_ms = int(time.time() * 1000)
    purged = client.purge(key)
    days = {name: (ms - before_ms) / 86_400_000 for name, ms in purged.records_until.items() if ms is not None}
    assert set(days) == {*purged.records_kept}
    assert 14 <= days["render.requests"] < 14.1, "7 days, and as many until a segment is closed"
    assert 37 <= days["render.events"] < 37.1
    assert 7 <= days["render.jobs"] < 7.1, "compacted"
    (record,) = client.erasures(key.tenant)
    assert (record.job_id, record.deleted["video"].objects) == (key.job_id, 1)
    assert record.records_until == purged.records_until
    assert SECRET not in record.model_dump_json()


def test_a_job_that_ended_long_ago_is_not_watched(deployment: Connection, client: Client, services: Services) -> None:
    old, new = uuid.uuid4().hex, uuid.uuid4().hex
    services.done(old, time_ms=now_ms() - 2 * 86_400_000)
    services.done(new)
    for job in (old, new):
        client.purge(job)
    watched = {entry.job for entry in erased_jobs.entries(deployment.artifacts)}
    assert (old in watched, new in watched) == (False, True)


def test_an_erasure_that_fails_before_it_deletes_leaves_the_job_to_nobody(
    deployment: Connection, client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    services.done(job)

    def away(*_: object) -> None:
        raise BrokerUnreachable("the broker does not answer")

    monkeypatch.setattr(purged_dead_letters, "find", away)
    with pytest.raises(BrokerUnreachable):
        client.purge(job)
    assert job not in {entry.job for entry in erased_jobs.entries(deployment.artifacts)}


def test_events_of_an_interrupted_erasure_are_published_when_it_is_repeated(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    services.done(job)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(purge, "publish_event", lambda *_: False)
        assert not client.purge(job).event_published
    assert [event.type for event in client.past_events(job)[0]] == ["done"]
    for _ in range(2):
        with pytest.raises(JobPurged):
            client.purge(job)
    times = {event.time_ms for event in client.past_events(job)[0] if event.type == "purged"}
    assert len(times) == 1, "repeated, the event is the same"
    assert client.jobs()[0].status == "purged"


def test_topics_of_a_tenant_are_named_where_it_has_its_own(deployment: Connection) -> None:
    own = deployment.settings.model_copy(update={"tenancy": "topic"})
    given = replace(deployment, deployment=replace(deployment.deployment, runtime=own))
    names = records_kept.topics_of_jobs(given, "acme")
    assert {"render.requests.acme", "render.requests.acme.bulk", "render.events.acme", "render.jobs"} <= set(names)
    assert not {"render.requests", "render.requests.bulk", "render.events"} & set(names)


def test_a_purged_job_is_shown_as_purged_everywhere(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    job, _ = submitted(deployment, client, portrait, speech, job_id=uuid.uuid4().hex)
    services.event("accepted", job, engine="puppet", labels={"who": SECRET})
    services.done(job, labels={"who": SECRET})
    client.purge(job)
    (listed,) = client.jobs()
    for state in (listed, client.job(job)):
        assert (state.status, state.labels) == ("purged", {})
        assert SECRET not in json.dumps(state.as_json()["labels"])
    assert client.jobs(statuses=["purged"])[0].job_id == job
    assert client.past_events(job)[0][-1].type in ("purged", "done")
    for call in (client.raise_if_purged, client.purge, client.cancel):
        with pytest.raises(JobPurged):
            call(job)
    with pytest.raises(JobPurged):
        client.submit(client.job_spec(portrait, speech, job_id=job, labels={"who": SECRET}))


def test_nothing_to_purge_is_an_error(client: Client, services: Services) -> None:
    theirs = uuid.uuid4().hex
    services.done(theirs, tenant="acme")
    for job in (theirs, uuid.uuid4().hex):
        with pytest.raises(JobNotFound):
            client.purge(job)
    assert client.purge(JobKey("acme", theirs)).deleted["video"].objects == 1


@pytest.mark.parametrize("claimed", [True, False])
def test_a_job_that_has_not_ended_is_purged_by_force_alone_and_ends_as_cancelled(
    deployment: Connection, client: Client, portrait: Path, speech: Path, claimed: bool
) -> None:
    """Claimed: a service has taken it. Otherwise it lies in render.requests alone."""
    if claimed:
        job, _ = submitted(deployment, client, portrait, speech)
    else:
        job = client.submit(client.job_spec(portrait, speech)).job_id
    with pytest.raises(JobNotFinished):
        client.purge(job)
    assert client.purge(job, force=True).deleted["inputs"].objects == 2
    end = client.terminal_event(job)
    assert end is not None
    assert (end.type, getattr(end, "code", None)) == ("failed", "CANCELLED")
    assert next(records(deployment, "render.cancel")).key() == f"default/{job}".encode()
    assert client.job(job).status == "purged"


def test_objects_that_a_running_service_wrote_after_the_purge_are_purged_again(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    services.done(job)
    client.purge(job)
    deployment.artifacts.put_bytes(b"late", keys.attempt_prefix("default", job, "encode", "a2") + "video.mp4")
    assert client.purge(job).deleted == {"video": Count(1, 4)}


def test_cached_outputs_of_other_tenants_are_left_alone(
    deployment: Connection, client: Client, services: Services
) -> None:
    """A marker that names them, as a hostile record could make a stage write it."""
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    theirs = deployment.artifacts.put_bytes(b"pcm", keys.cache_prefix("acme", "audio", "d" * 64, "a1") + "pcm.npy")
    output = StageOutput(attempt="a1", artifacts={"pcm": theirs})
    markers.claim_completion(deployment.documents, "default", job, "audio", output)
    services.done(job)
    assert "cache" not in client.purge(job).deleted
    assert deployment.artifacts.exists(theirs)


def dead_letter(
    deployment: Connection, services: Services, job: str, value: bytes | None, tenant: str = "default", **fields: str
) -> str:
    """A dead letter as a stage writes it; its id."""
    named = {"topic": "render.face", "job": job, "tenant": tenant, **fields}
    reports: list[Any] = []
    services.producer.produce(
        deployment.topic("render.dlq"),
        value,
        b"another key",
        headers=dead_letter_headers_of(named),
        on_delivery=lambda _, message: reports.append(message),
    )
    assert services.producer.flush(10) == 0
    return f"{reports[0].partition()}:{reports[0].offset()}"


def test_values_of_dead_letters_in_the_bucket_are_deleted_and_the_records_are_named(
    deployment: Connection, client: Client, services: Services
) -> None:
    job, other = uuid.uuid4().hex, uuid.uuid4().hex
    for one in (job, other):
        services.claim(one, "r", b"body")
        services.done(one)
    keep = f"jobs/default/{other}/encode/a1/video.mp4"
    bodies = [keys.dead_letter_body("render.face", 0, n, "a" * 64) for n in range(2)]
    for key in bodies:
        deployment.artifacts.put_bytes(b"large", key)
    letters = [
        dead_letter(deployment, services, job, None, **{"value.key": bodies[0]}),
        dead_letter(deployment, services, job, b"small"),
        dead_letter(deployment, services, job, None, **{"value.key": keep}),
    ]
    dead_letter(deployment, services, other, None, **{"value.key": bodies[1]})
    dead_letter(deployment, services, job, b"of another tenant", tenant="acme")
    purged = client.purge(job)
    assert purged.deleted["dead letters"] == Count(1, 5)
    assert sorted(purged.dead_letters) == sorted(f"render.dlq {letter}" for letter in letters)
    assert purged.dead_letters_read
    assert list(deployment.artifacts.list_prefix(bodies[0])) == []
    assert [entry.key for entry in deployment.artifacts.list_prefix(bodies[1])] == [bodies[1]]
    assert [entry.key for entry in deployment.artifacts.list_prefix(keep)] == [keep], "no dead letter's value"


def test_dead_letter_of_an_earlier_version_is_found_by_its_own_headers(
    deployment: Connection, client: Client, services: Services
) -> None:
    job = uuid.uuid4().hex
    services.claim(job, "r", b"body")
    services.done(job)
    headers = [("ce_id", f"default/{job}:face".encode()), ("ce_subject", job.encode()), (f"{DLQ}topic", b"render.face")]
    services.producer.produce(deployment.topic("render.dlq"), b"{}", b"k", headers=headers)
    assert services.producer.flush(10) == 0
    assert len(client.purge(job).dead_letters) == 1
