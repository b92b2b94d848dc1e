"""A purge finds what was made from a portrait or a speech file, whichever way a job named it."""

import hashlib
import uuid
from pathlib import Path

import pytest

from shared.client import Client, InvalidRequest, JobKey
from shared.client.connection import Connection
from shared.client.purged_objects import Count
from shared.messages.refs import InputRef
from shared.messages.task import StageOutput
from shared.storage import cache_index, keys, markers
from shared.storage.markers import RequestRecord
from tests.client.services import Services

OTHER = hashlib.sha256(b"another file").hexdigest()


@pytest.fixture
def tenant() -> str:
    """Nobody else's: the bucket is that of the whole test session."""
    return f"t{uuid.uuid4().hex[:12]}"


def claim(connection: Connection, key: JobKey, *inputs: InputRef) -> None:
    record = RequestRecord(request_id="r", body_sha256="0" * 64, inputs=inputs)
    markers.claim_request(connection.documents, *key, record)


def job(connection: Connection, services: Services, tenant: str, *inputs: InputRef) -> JobKey:
    key = JobKey(tenant, uuid.uuid4().hex)
    claim(connection, key, *inputs)
    services.done(key.job_id, tenant=tenant)
    return key


def cached(connection: Connection, key: JobKey, digest: str, sha256: str) -> str:
    """What a job has cached; the artifact's key."""
    cache_index.note(connection.documents, *key, "face", digest, "a1", {"portrait": sha256})
    ref = connection.artifacts.put_bytes(b"face", keys.cache_prefix(key.tenant, "face", digest, "a1") + "face.npy")
    output = StageOutput(attempt="a1", artifacts={"face": ref})
    connection.documents.put(keys.cache_entry(key.tenant, "face", digest), output.model_dump(mode="json"))
    return ref.key


def test_jobs_are_found_by_digest_by_content_by_cache_and_in_the_queue(
    deployment: Connection, client: Client, services: Services, tenant: str, portrait: Path, speech: Path
) -> None:
    sha256 = hashlib.sha256(portrait.read_bytes()).hexdigest()
    deployment.s3.put_object(Bucket="lipstage-inputs", Key=f"{tenant}/theirs.png", Body=portrait.read_bytes())
    deployment.s3.put_object(Bucket="lipstage-inputs", Key=f"{tenant}/else.png", Body=b"x" * portrait.stat().st_size)
    named = job(deployment, services, tenant, InputRef(key=f"{tenant}/gone.png", sha256=sha256))
    by_key = job(deployment, services, tenant, InputRef(key=f"{tenant}/theirs.png"))
    by_cache = job(deployment, services, tenant)
    cached(deployment, by_cache, "d" * 64, sha256)
    queued = client.submit(client.job_spec(portrait, speech, tenant=tenant)).key
    job(deployment, services, tenant, InputRef(key=f"{tenant}/gone.png", sha256=OTHER))
    job(deployment, services, tenant, InputRef(key=f"{tenant}/else.png"))
    unknown = job(deployment, services, tenant, InputRef(key=f"{tenant}/gone.png"))
    job(deployment, services, f"{tenant}-other", InputRef(key=f"{tenant}/gone.png", sha256=sha256))
    plan = client.purge_plan(tenant=tenant, file=portrait)
    assert sorted(plan.jobs) == sorted([named, by_key, by_cache, queued])
    assert (plan.unknown_inputs, plan.not_ended, plan.cached, plan.uploads) == ([unknown], 1, [], [])
    assert {tenant, f"{tenant}-other"} <= set(client.tenants())


def test_what_expired_jobs_cached_and_what_refused_ones_uploaded_goes(
    deployment: Connection, client: Client, tenant: str, portrait: Path
) -> None:
    sha256 = hashlib.sha256(portrait.read_bytes()).hexdigest()
    gone, others = JobKey(tenant, uuid.uuid4().hex), JobKey(tenant, uuid.uuid4().hex)
    made, kept = cached(deployment, gone, "d" * 64, sha256), cached(deployment, others, "e" * 64, OTHER)
    upload = f"{tenant}/{gone.job_id}/{sha256}"
    own = {"uploaded-by": "lipstage-client"}
    deployment.s3.put_object(Bucket="lipstage-inputs", Key=upload, Body=portrait.read_bytes(), Metadata=own)
    plan = client.purge_plan(tenant=tenant, file=portrait)
    assert (plan.jobs, len(plan.cached), [one.key for one in plan.uploads]) == ([], 1, [upload])
    deleted, left = client.purge_rest(plan)
    assert deleted == {"cache": Count(1, 4), "inputs": Count(1, portrait.stat().st_size)}
    assert left == {}
    listed = [entry.key for entry in deployment.artifacts.list_prefix(f"cache/{tenant}/")]
    assert made not in listed
    assert kept in listed
    assert not any(gone.job_id in key for key in listed)
    assert client.purge_plan(tenant=tenant, file=portrait).is_empty
    (record,) = deployment.artifacts.list_prefix(keys.erasures_prefix(tenant))
    assert sha256 not in str(deployment.documents.get(record.key))


def test_a_file_that_can_not_be_read_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for name in ("none.png", "empty.png"):
        with pytest.raises(InvalidRequest, match=name):
            client.purge_plan(file=tmp_path / name)
