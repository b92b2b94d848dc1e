"""What an attempt stores after its job was erased is deleted, and nothing that another job made."""

import uuid
from threading import Event

import pytest

from shared.messages.refs import OutputRef
from shared.messages.task import StageOutput
from shared.runtime.settle import erased_sweep
from shared.runtime.settle.janitor import Janitor
from shared.storage import cache_index, erased_jobs, frames, keys, markers
from shared.storage.errors import ArtifactRefused
from shared.storage.markers import RequestRecord
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.runtime.test_janitor import done

TENANT, DIGEST = "default", "d" * 64


@pytest.fixture
def job(store: ObjectStore) -> str:
    """An erased job, of which two documents are left."""
    name = uuid.uuid4().hex
    erased_jobs.note(store.documents, TENANT, name, None)
    record = RequestRecord(request_id="r", body_sha256="0" * 64, purged_ms=1)
    markers.record_purge(store.documents, TENANT, name, record, done(name))
    return name


def cached(store: ObjectStore, job: str, attempt: str, *, entry: bool) -> str:
    """A cached output as an attempt of the job makes it; its artifact's key."""
    cache_index.note(store.documents, TENANT, job, "face", DIGEST + job, attempt, {"portrait": "0" * 64})
    ref = store.artifacts.put_bytes(b"face", keys.cache_prefix(TENANT, "face", DIGEST + job, attempt) + "face.npy")
    if entry:
        store.cache.store(TENANT, "face", DIGEST + job, StageOutput(attempt=attempt, artifacts={"face": ref}))
    return ref.key


def left(store: ObjectStore, prefix: str) -> list[str]:
    return [entry.key for entry in store.artifacts.list_prefix(prefix)]


def test_late_writes_are_deleted_and_the_documents_stay(store: ObjectStore, job: str) -> None:
    store.artifacts.put_bytes(b"late", keys.attempt_prefix(TENANT, job, "infer", "a1") + "chunk")
    frames.note(store.artifacts, TENANT, job, "infer", "a1")
    markers.claim_completion(store.documents, TENANT, job, "infer", StageOutput(attempt="a1"))
    late = cached(store, job, "a1", entry=True)
    Janitor(store, every_s=0.001).run(Stop())
    assert left(store, keys.job_prefix(TENANT, job)) == [keys.end(TENANT, job), keys.request(TENANT, job)]
    assert left(store, keys.frames_prefix(TENANT, job)) == left(store, late) == []
    assert store.documents.get(keys.cache_entry(TENANT, "face", DIGEST + job)) is None


class Stop(Event):
    """Ends the janitor after its first pass."""

    def wait(self, timeout: float | None = None) -> bool:
        first, self.was = not hasattr(self, "was"), True
        return not first


def test_output_that_another_job_made_again_is_left_alone(store: ObjectStore, job: str) -> None:
    late, other = cached(store, job, "a1", entry=False), uuid.uuid4().hex
    ref = store.artifacts.put_bytes(b"face", keys.cache_prefix(TENANT, "face", DIGEST + job, "b1") + "face.npy")
    cache_index.note(store.documents, TENANT, other, "face", DIGEST + job, "b1", {"portrait": "0" * 64})
    store.cache.store(TENANT, "face", DIGEST + job, StageOutput(attempt="b1", artifacts={"face": ref}))
    assert erased_sweep.sweep(store, Event()) >= 1
    assert left(store, late) == []
    assert store.cache.lookup(TENANT, "face", DIGEST + job) is not None


def test_job_whose_erasure_was_interrupted_is_left_alone(store: ObjectStore) -> None:
    name = uuid.uuid4().hex
    markers.claim_request(store.documents, TENANT, name, RequestRecord(request_id="r", body_sha256="0" * 64))
    erased_jobs.note(store.documents, TENANT, name, None)
    video = store.artifacts.put_bytes(b"video", keys.attempt_prefix(TENANT, name, "encode", "a1") + "video.mp4")
    erased_sweep.sweep(store, Event())
    assert store.artifacts.exists(video)


def test_files_in_an_output_bucket_are_deleted(store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, name = f"t{uuid.uuid4().hex[:12]}", job
    monkeypatch.setenv("LIPSTAGE_OUTPUT_BUCKETS", f'{{"films": "{bucket}"}}')
    store = ObjectStore.open(StorageSettings())
    store.artifacts.client.create_bucket(Bucket=bucket)
    erased_jobs.note(store.documents, TENANT, name, OutputRef(bucket="films", prefix="default/out"))
    for one in (name, "another"):
        store.artifacts.put_bytes(b"video", f"default/out/{one}/video.mp4", bucket="films")
    erased_sweep.sweep(store, Event())
    found = [entry.key for entry in store.artifacts.list_prefix("", bucket="films")]
    assert found == ["default/out/another/video.mp4"]


def test_passes_go_on_until_no_attempt_can_run(store: ObjectStore, job: str) -> None:
    for name in ("a1", "a2"):
        late = cached(store, job, name, entry=False)
        erased_sweep.sweep(store, Event())
        assert left(store, late) == []
        assert left(store, keys.erased(TENANT, job)) == [keys.erased(TENANT, job)]
    erased_sweep.sweep(store, Event(), longest_attempt_s=-60.0)
    assert left(store, keys.erased(TENANT, job)) == left(store, keys.cache_index_of_job(TENANT, job)) == []


def test_job_that_the_object_store_refuses_does_not_stop_the_pass(
    store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = uuid.uuid4().hex
    erased_jobs.note(store.documents, TENANT, refused, None)
    erase = type(store.artifacts.eraser).erase

    def erasing(self: object, bucket: str, prefix: str, *more: object) -> object:
        if refused in prefix:
            raise ArtifactRefused("denied")
        return erase(self, bucket, prefix, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store.artifacts.eraser), "erase", erasing)
    late = cached(store, job, "a1", entry=False)
    erased_sweep.sweep(store, Event())
    assert left(store, late) == []
