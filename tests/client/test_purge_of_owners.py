"""Purges of an owner and of a tenant: which jobs they concern, and what they leave alone."""

import hashlib
import uuid
from pathlib import Path

import pytest

from shared.client import Client, InvalidRequest, JobKey, JobNotFinished
from shared.client.connection import Connection
from shared.messages.events import Done
from shared.storage import cache_index, keys, markers, usage
from shared.storage.markers import RequestRecord
from shared.telemetry import pseudonyms
from tests.client.services import Services

BODY = hashlib.sha256(b"body").hexdigest()


@pytest.fixture
def tenant() -> str:
    """Nobody else's: the bucket is that of the whole test session."""
    return f"t{uuid.uuid4().hex[:12]}"


def job(connection: Connection, services: Services, tenant: str, owner: str | None, *, ended: bool = True) -> JobKey:
    key = JobKey(tenant, uuid.uuid4().hex)
    record = RequestRecord(request_id="r", body_sha256=BODY, owner=owner)
    markers.claim_request(connection.documents, *key, record)
    if ended:
        services.done(key.job_id, tenant=tenant)
    else:
        connection.artifacts.put_bytes(b"pcm", keys.attempt_prefix(*key, "audio", "a1") + "pcm.npy")
    return key


def test_owner_has_the_jobs_that_name_it(
    deployment: Connection, client: Client, services: Services, tenant: str
) -> None:
    mine = [job(deployment, services, tenant, "ann@x.org") for _ in range(2)]
    running = job(deployment, services, tenant, "ann@x.org", ended=False)
    for other in ("bob@x.org", ""):
        job(deployment, services, tenant, other)
    earlier = job(deployment, services, tenant, None)
    job(deployment, services, f"{tenant}-other", "ann@x.org")
    plan = client.purge_plan(tenant=tenant, owner="ann@x.org")
    assert sorted(plan.jobs) == sorted([*mine, running])
    assert (plan.not_ended, plan.unknown_owner) == (1, [earlier])
    assert plan.objects.objects == 4 + 4 + 2, "video, poster, request and end; request and one artifact"
    results = {result.job: result for result in client.purge_jobs(plan.jobs)}
    assert isinstance(results[running].error, JobNotFinished)
    assert all(results[key].purged is not None for key in mine)
    again = client.purge_plan(tenant=tenant, owner="ann@x.org")
    assert again.jobs == [running]
    assert [r.purged is not None for r in client.purge_jobs(again.jobs, force=True)] == [True]
    assert client.purge_plan(tenant=tenant, owner="ann@x.org").jobs == []


def test_owner_is_found_by_its_hash(
    deployment: Connection, client: Client, services: Services, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = job(deployment, services, tenant, "ann@x.org")
    job(deployment, services, tenant, "bob@x.org")
    keys_of = pseudonyms.parse("k2:a-new-secret-of-a-test,k1:an-old-secret-of-a-test")
    for name in keys_of.candidates("ann@x.org"):
        assert client.purge_plan(tenant=tenant, owner=name, pseudonyms=keys_of).jobs == [mine]
    monkeypatch.delenv(pseudonyms.VARIABLE, raising=False)
    with pytest.raises(InvalidRequest, match=pseudonyms.VARIABLE):
        client.purge_plan(tenant=tenant, owner=keys_of.of("ann@x.org"))


def test_owner_is_erased_with_the_purge(
    deployment: Connection, client: Client, services: Services, tenant: str
) -> None:
    key = job(deployment, services, tenant, "ann@x.org")
    client.purge(key)
    assert "ann" not in str(deployment.documents.get(keys.request(*key)))
    record = markers.read_request(deployment.documents, *key)
    assert record is not None
    assert record.owner is None


def test_tenant_has_all_its_jobs_and_those_that_wait_in_the_queue(
    deployment: Connection, client: Client, services: Services, tenant: str, portrait: Path, speech: Path
) -> None:
    stored = [job(deployment, services, tenant, owner) for owner in ("ann@x.org", "", None)]
    queued = client.submit(client.job_spec(portrait, speech, tenant=tenant, owner="ann@x.org"))
    client.submit(client.job_spec(portrait, speech))
    job(deployment, services, f"{tenant}-other", "ann@x.org")
    plan = client.purge_plan(tenant=tenant)
    assert sorted(plan.jobs) == sorted([*stored, queued.key])
    assert (plan.not_ended, plan.unknown_owner, plan.requests_read) == (1, [], True)
    assert queued.key in client.purge_plan(tenant=tenant, owner="ann@x.org").jobs
    assert all(result.purged is not None for result in client.purge_jobs(plan.jobs, force=True))
    assert client.purge_plan(tenant=tenant).jobs == []
    left = {entry.key.rpartition("/")[2] for entry in deployment.artifacts.list_prefix(keys.tenant_prefix(tenant))}
    assert left == {"request.json", "end.json"}
    assert isinstance(markers.read_end(deployment.documents, *stored[0]), Done)


def test_tenant_has_what_expired_jobs_cached_what_refused_ones_uploaded_and_its_used_quotas(
    deployment: Connection, client: Client, services: Services, tenant: str
) -> None:
    recent, expired, refused = job(deployment, services, tenant, ""), "expired", "refused"
    for name, digest in ((recent.job_id, "d" * 64), (expired, "e" * 64)):
        cache_index.note(deployment.documents, tenant, name, "face", digest, "a1", {"portrait": "5" * 64})
        deployment.artifacts.put_bytes(b"face", keys.cache_prefix(tenant, "face", digest, "a1") + "face.npy")
    upload, theirs = f"{tenant}/{refused}/{BODY}", f"{tenant}/{refused}/theirs.png"
    for key in (upload, theirs):
        metadata = {"uploaded-by": "lipstage-client"}
        deployment.s3.put_object(Bucket="lipstage-inputs", Key=key, Body=b"png", Metadata=metadata)
    usage.admit(deployment.documents, tenant, recent.job_id, 5, 1)
    plan = client.purge_plan(tenant=tenant)
    assert (plan.jobs, [one.job for one in plan.cached]) == ([recent], [expired])
    assert ([one.key for one in plan.uploads], plan.quotas) == ([upload], True)
    assert not client.purge_plan(tenant=tenant, owner="ann@x.org").has_rest
    assert all(result.purged is not None for result in client.purge_jobs(plan.jobs))
    deleted, _ = client.purge_rest(plan)
    assert {name: count.objects for name, count in deleted.items()} == {"cache": 1, "inputs": 1, "quotas": 1}
    assert client.purge_plan(tenant=tenant).is_empty
    (watched,) = cache_index.of_tenant(deployment.artifacts, tenant)
    assert watched.job == recent.job_id, "its attempts may still run"


def test_tenant_without_jobs_is_found_by_its_inputs(deployment: Connection, client: Client, tenant: str) -> None:
    deployment.s3.put_object(Bucket="lipstage-inputs", Key=f"{tenant}/refused/{BODY}", Body=b"png")
    assert tenant in client.tenants()


@pytest.mark.parametrize("owner", ["", "a b", "x" * 129, "../x"])
def test_owner_that_no_request_can_name_is_refused(client: Client, owner: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an owner"):
        client.purge_plan(owner=owner)
