"""Leftover frames: found through the index, and deleted once their job has ended and no replay needs them."""

import uuid
from threading import Event

import pytest

from shared.messages.codes import Code
from shared.messages.events import Done, Failed, RejectedEvent
from shared.messages.refs import ArtifactRef
from shared.runtime.settle.janitor import Janitor
from shared.storage import frames, keys, markers
from shared.storage.errors import StoreUnavailable
from shared.storage.object_store import ObjectStore


@pytest.fixture
def job(store: ObjectStore) -> str:
    """A job with two attempts of infer that left one chunk each."""
    name = uuid.uuid4().hex
    for attempt in ("a1", "a2"):
        frames.note(store.artifacts, "default", name, "infer", attempt)
        prefix = keys.attempt_prefix("default", name, "infer", attempt)
        store.artifacts.put_bytes(b"frame", keys.within(prefix, "frames-00000.bin"))
    return name


def base(job: str) -> dict[str, str | int]:
    return {"job_id": job, "tenant": "default", "request_id": "r", "time_ms": 1}


def done(job: str) -> Done:
    ref = ArtifactRef(key="k", sha256="0" * 64, size=1)
    return Done.model_validate(
        base(job) | {"video": ref, "poster": ref, "duration_s": 1.0, "width": 2, "height": 2, "fps": 25,
                     "engine": "puppet", "container_drift_ms": 0.0, "audio_drift_ms": 0, "seconds": {}, "total_s": 1.0}
    )  # fmt: skip


def failed(job: str, code: Code) -> Failed:
    return Failed.model_validate(base(job) | {"stage": "infer", "code": code, "message": "m"})


def left(store: ObjectStore, job: str) -> tuple[int, int]:
    """Number of existing chunks and entries."""
    chunks = list(store.artifacts.list_prefix(keys.stage_prefix("default", job, "infer")))
    entries = list(store.artifacts.list_prefix(keys.frames_prefix("default", job)))
    return len(chunks), len(entries)


def test_frames_of_killed_attempts_are_deleted_once_the_job_has_ended(store: ObjectStore, job: str) -> None:
    janitor = Janitor(store, youngest_s=-60.0)
    janitor.sweep(Event())
    assert left(store, job) == (2, 2), "the job is running"
    markers.claim_end(store.documents, "default", job, done(job))
    janitor.sweep(Event())
    assert left(store, job) == (0, 2), "an attempt may still be writing"
    janitor.sweep(Event())
    assert left(store, job) == (0, 0)


@pytest.mark.parametrize(
    ("code", "goes"), [(Code.CANCELLED, True), (Code.INTERNAL, False), (Code.CRASH_LOOP, False), ("rejected", True)]
)
def test_frames_of_a_dead_letter_are_kept_for_its_replay(
    store: ObjectStore, job: str, code: Code | str, goes: bool
) -> None:
    rejected = RejectedEvent.model_validate(base(job) | {"stage": "infer", "code": Code.OUT_OF_MEMORY, "message": "m"})
    markers.claim_end(store.documents, "default", job, failed(job, code) if isinstance(code, Code) else rejected)
    Janitor(store, youngest_s=-60.0).sweep(Event())
    assert left(store, job)[0] == (0 if goes else 2)


def test_job_that_has_just_ended_is_not_swept(store: ObjectStore, job: str) -> None:
    markers.claim_end(store.documents, "default", job, done(job))
    Janitor(store).sweep(Event())
    assert left(store, job) == (2, 2)


@pytest.mark.parametrize("key", ["frames/x", "frames/a/b/c/d/e", "frames/.x/j/infer/a1", "frames/default/j/request/a1"])
def test_foreign_object_under_the_prefix_is_skipped(store: ObjectStore, job: str, key: str) -> None:
    store.artifacts.put_bytes(b"", key)
    markers.claim_end(store.documents, "default", job, done(job))
    Janitor(store, youngest_s=-60.0).sweep(Event())
    assert left(store, job)[0] == 0
    store.artifacts.delete([key])


def test_failed_pass_is_repeated(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, passes = Event(), list[int]()

    def sweep(_: Janitor, stop: Event) -> int:
        passes.append(1)
        if len(passes) == 2:
            stop.set()
        raise StoreUnavailable("away")

    monkeypatch.setattr(Janitor, "sweep", sweep)
    Janitor(store, every_s=0.001).run(stop)
    assert len(passes) == 2
