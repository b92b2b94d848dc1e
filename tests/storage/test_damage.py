"""Damage in transit: the read is repeated, and damage that leaves a valid document is detected, too."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.refs import ArtifactRef
from shared.messages.task import StageOutput
from shared.storage import keys, markers
from shared.storage.artifacts import ArtifactStore
from shared.storage.cache import StageCache
from shared.storage.documents import DocumentStore
from shared.storage.errors import ArtifactAltered, StoreUnavailable
from shared.storage.manifest import Chunk, ChunkManifest, read_manifest, write_manifest
from shared.storage.settings import StorageSettings
from tests.storage.faulty import FaultyStore, about, flip

TRIES = 3
"""Number of damaged reads before an undamaged one."""


@pytest.fixture
def documents(faulty: FaultyStore, connecting, settings: StorageSettings) -> DocumentStore:
    return DocumentStore(connecting(settings), settings)


@pytest.fixture
def artifacts(faulty: FaultyStore, connecting, settings: StorageSettings) -> ArtifactStore:
    return ArtifactStore(connecting(settings), settings)


@pytest.fixture
def job() -> str:
    return uuid4().hex


def _at_first(change: Callable[[bytes], bytes]) -> Callable[[int, bytes], bytes]:
    return lambda n, body: change(body) if n < TRIES else body


def _as_json(**changes: object) -> Callable[[bytes], bytes]:
    """Another valid document of the same length: only the checksum detects it."""

    def change(body: bytes) -> bytes:
        altered = json.dumps(json.loads(body) | changes, sort_keys=True, separators=(",", ":")).encode()
        assert len(altered) == len(body)
        return altered

    return change


def _end(job: str) -> Failed:
    return Failed(
        job_id=job, tenant="default", request_id="r", time_ms=1, stage="face", code=Code.CANCELLED, message=""
    )


def test_artifact_damaged_in_transit_is_read_again(
    artifacts: ArtifactStore, faulty: FaultyStore, file: Path, tmp_path: Path
) -> None:
    ref = artifacts.put(file, f"jobs/default/{uuid4().hex}/face/a1/x.bin")
    faulty.damage(about(ref.key, "GET"), _at_first(flip))
    artifacts.get(ref, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    faulty.faults.clear()
    faulty.damage(about(ref.key, "GET"), _at_first(flip))
    assert artifacts.get_bytes(ref, 1 << 20) == file.read_bytes()


def test_artifact_that_stays_altered_raises_artifact_altered(
    artifacts: ArtifactStore, faulty: FaultyStore, file: Path, tmp_path: Path
) -> None:
    ref = artifacts.put(file, f"jobs/default/{uuid4().hex}/face/a1/x.bin")
    faulty.damage(about(ref.key, "GET"), lambda _, body: flip(body))
    with pytest.raises(ArtifactAltered):
        artifacts.get(ref, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_truncated_body_is_an_outage_and_leaves_no_file(
    artifacts: ArtifactStore, documents: DocumentStore, faulty: FaultyStore, file: Path, tmp_path: Path, job: str
) -> None:
    ref = artifacts.put(file, f"jobs/default/{job}/face/a1/x.bin")
    markers.claim_end(documents, "default", job, _end(job))
    faulty.damage(about(job, "GET"), lambda _, body: body[:-1])
    with pytest.raises(StoreUnavailable):
        artifacts.get(ref, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(StoreUnavailable):
        markers.read_end(documents, "default", job)


def test_manifest_damaged_in_transit_is_read_again(artifacts: ArtifactStore, faulty: FaultyStore, job: str) -> None:
    prefix = keys.attempt_prefix("default", job, "infer", "a1")
    chunk = Chunk(ref=ArtifactRef(key=f"{prefix}frames-00000.bin", sha256="0" * 64, size=250), frames=25)
    manifest = ChunkManifest(role="frames", chunks=(chunk,), frames=25)
    ref = write_manifest(artifacts, f"{prefix}frames.json", manifest)
    faulty.damage(about(ref.key, "GET"), _at_first(flip))
    assert read_manifest(artifacts, ref) == manifest


@pytest.mark.parametrize("change", [flip, _as_json(tenant="defaulx"), _as_json(stage="lips")])
def test_terminal_document_damaged_in_transit_is_read_again(
    documents: DocumentStore, faulty: FaultyStore, job: str, change: Callable[[bytes], bytes]
) -> None:
    markers.claim_end(documents, "default", job, _end(job))
    faulty.damage(about("end.json", "GET"), _at_first(change))
    assert markers.read_end(documents, "default", job) == _end(job)


@pytest.mark.parametrize("change", [flip, _as_json(tenant="defaulx"), _as_json(stage="lips")])
def test_terminal_document_that_stays_altered_raises_artifact_altered(
    documents: DocumentStore, faulty: FaultyStore, job: str, change: Callable[[bytes], bytes]
) -> None:
    markers.claim_end(documents, "default", job, _end(job))
    faulty.damage(about("end.json", "GET"), lambda _, body: change(body))
    with pytest.raises(ArtifactAltered):
        markers.read_end(documents, "default", job)


def test_marker_and_request_damaged_in_transit_are_read_again(
    documents: DocumentStore, faulty: FaultyStore, job: str
) -> None:
    output = StageOutput(attempt="a1", metadata={"width": 512})
    record = markers.RequestRecord(request_id="r1", body_sha256="a" * 64)
    markers.claim_completion(documents, "default", job, "face", output)
    markers.claim_request(documents, "default", job, record)
    faulty.damage(about("face.json", "GET"), _at_first(_as_json(attempt="a2")))
    faulty.damage(about("request.json", "GET"), _at_first(_as_json(request_id="r2")))
    assert markers.read_completion(documents, "default", job, "face") == output
    assert markers.read_request(documents, "default", job) == record


def test_own_claim_is_recognised_despite_damage(documents: DocumentStore, faulty: FaultyStore, job: str) -> None:
    """If the claim counted as lost, the attempt would delete its own artifacts, which are the winner's."""
    output = StageOutput(attempt="a1")
    assert markers.claim_completion(documents, "default", job, "face", output).won
    faulty.damage(about("face.json", "GET"), _at_first(_as_json(attempt="a2")))
    assert markers.claim_completion(documents, "default", job, "face", output).won


def test_document_without_a_checksum_is_read(documents: DocumentStore, client, job: str) -> None:
    client.put_object(Bucket="lipstage", Key=keys.end("default", job), Body=_end(job).model_dump_json().encode())
    assert markers.read_end(documents, "default", job) == _end(job)


def test_document_damaged_during_upload_is_not_stored(
    documents: DocumentStore, client, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = documents._client.put_object
    monkeypatch.setattr(documents._client, "put_object", lambda **call: send(**call | {"Body": flip(call["Body"])}))
    with pytest.raises(StoreUnavailable):
        documents.put_once(keys.end("default", job), {"a": 1})
    monkeypatch.undo()
    assert documents.get(keys.end("default", job)) is None


def test_cache_entry_that_stays_altered_is_a_miss(
    artifacts: ArtifactStore, documents: DocumentStore, settings: StorageSettings, faulty: FaultyStore
) -> None:
    cache = StageCache(artifacts, documents, settings)
    cache.store("default", "face", "d1", StageOutput(attempt="a1"))
    faulty.damage(about("d1.json", "GET"), _at_first(flip))
    assert cache.lookup("default", "face", "d1") is not None
    faulty.damage(about("d1.json", "GET"), lambda _, body: flip(body))
    assert cache.lookup("default", "face", "d1") is None
