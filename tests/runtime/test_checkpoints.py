"""Checkpoints of a killed attempt: the next attempt resumes from them, unless they are altered or of another task."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs

from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.execute.attempt import Attempt
from shared.runtime.execute.checkpoints import CheckpointStore
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.cleanup import Cleanup
from shared.slot import records
from shared.slot.spec import StageSpec
from shared.storage import keys
from shared.storage.errors import StoreUnavailable
from shared.storage.object_store import ObjectStore

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={"image": "face/image"}, resumes=True)
ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., StageOutput]


@pytest.fixture
def job() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def run(store: ObjectStore, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs one attempt at the job, with the given differences from the default."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Unconfined: the handler makes a link in one test, as a worker of an older kernel could.
    worker = WorkerProcess(SPEC, "puppet", confinement="off")
    images = {name: store.artifacts.put_bytes(name.encode(), f"jobs/default/{job}/face/1/{name}") for name in "ab"}

    def attempt(
        image: ArtifactRef = images["a"], spec: StageSpec = SPEC, do: str = "resume", **fields: Any
    ) -> StageOutput:
        if worker.pid is None:
            worker.start()
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref, labels={"do": do}, **fields)
        task = RenderTask(
            job_id=job,
            request_id="r",
            request=request,
            submitted_ms=1,
            outputs={"face": StageOutput(attempt="1", artifacts={"image": image})},
        )
        return Attempt(
            task=task,
            spec=spec,
            store=store,
            settings=RuntimeSettings(free_space_reserve_mb=0),
            worker=worker,
            cancelled=lambda: False,
            progress=lambda done, total: None,
            telemetry=WorkerTelemetry("trial", TracerProvider().get_tracer("test")),
            scratch=tmp_path,
        ).run()

    attempt.images = images  # type: ignore[attr-defined]
    yield attempt
    worker.stop()


def starts_without_checkpoint(run: Run, **differences: Any) -> None:
    """Without a checkpoint the handler saves some and dies."""
    with pytest.raises(WorkerDied, match="-9"):
        run(**differences)


def objects(store: ObjectStore, job: str) -> list[str]:
    return [entry.key for entry in store.artifacts.list_prefix(keys.checkpoint_prefix("default", job, "trial"))]


def test_killed_attempt_is_resumed_from_its_checkpoint(run: Run, store: ObjectStore, job: str) -> None:
    starts_without_checkpoint(run)
    assert len(objects(store, job)) == 2, "the newest checkpoint and the document that names it"
    assert run().metadata["checkpoint"] == "2"


def test_checkpoint_of_another_request_or_other_inputs_is_ignored(run: Run) -> None:
    starts_without_checkpoint(run)
    starts_without_checkpoint(run, engine_params={"blinks": False})
    starts_without_checkpoint(run, image=run.images["b"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["object", "gone", "document", "forged"])
def test_altered_checkpoint_is_ignored(run: Run, store: ObjectStore, job: str, how: str) -> None:
    starts_without_checkpoint(run)
    record_key = keys.checkpoint_record("default", job, "trial")
    (data_key,) = (key for key in objects(store, job) if key != record_key)
    match how:
        case "object":
            store.artifacts.put_bytes(b"9", data_key)
        case "gone":
            store.artifacts.delete([data_key])
        case "document":
            store.documents.put(record_key, {"ref": "?"})
        case "forged":
            ref = store.artifacts.put_bytes(b"9", data_key)
            document = store.documents.get(record_key)
            assert isinstance(document, dict)
            store.documents.put(record_key, document | {"ref": ref.model_dump(mode="json")})
    starts_without_checkpoint(run)


def test_checkpoints_are_deleted_when_the_stage_completes(run: Run, store: ObjectStore, job: str) -> None:
    starts_without_checkpoint(run)
    ref = InputRef(key="default/x")
    task = RenderTask(job_id=job, request_id="r", request=RenderRequest(portrait=ref, speech=ref), submitted_ms=1)
    Cleanup(SPEC, store).after(task, job_ended=False)
    assert objects(store, job) == []


@pytest.mark.parametrize("what", ["a link", "nothing"])
def test_checkpoint_that_is_no_regular_file_fails_the_attempt(
    run: Run, store: ObjectStore, job: str, what: str
) -> None:
    with pytest.raises(WorkerDied, match="can't be opened"):
        run(do=f"save {what}")
    assert objects(store, job) == []


class CheckpointFiles:
    """The checkpoints of one attempt without a worker: the test writes the files."""

    def __init__(self, store: ObjectStore, job: str, folder: Path) -> None:
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref)
        task = RenderTask(job_id=job, request_id="r", request=request, submitted_ms=1)
        self.folder = WorkFolder(folder / "work")
        telemetry = WorkerTelemetry("trial", TracerProvider().get_tracer("test"))
        self.checkpoints = CheckpointStore(store, task, "trial", {}, "1", self.folder, telemetry)

    def file(self, number: int) -> Path:
        return self.folder.path / f"checkpoint-{number}"

    def add(self, number: int) -> None:
        self.file(number).write_text(f"{number}")
        self.checkpoints.add(records.Checkpoint(path=str(self.file(number)), done=number))

    def remaining(self) -> list[str]:
        return sorted(path.name for path in self.folder.path.iterdir())


@pytest.fixture
def attempt(store: ObjectStore, job: str, tmp_path: Path) -> Iterator[CheckpointFiles]:
    attempt = CheckpointFiles(store, job, tmp_path)
    yield attempt
    attempt.checkpoints.close()
    attempt.folder.close()


def done(store: ObjectStore, job: str) -> object:
    document = store.documents.get(keys.checkpoint_record("default", job, "trial"))
    return document["done"] if isinstance(document, dict) else None


def test_checkpoint_that_cannot_be_stored_is_deleted_from_disk(
    attempt: CheckpointFiles, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(store.artifacts), "put", refuse)
    attempt.add(1)
    attempt.checkpoints.close()
    assert attempt.remaining() == []


def test_checkpoint_deleted_by_the_worker_is_stored_unchanged(
    attempt: CheckpointFiles, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = type(store.artifacts).put

    def deleted(artifacts: Any, path: Path, key: str, **options: Any) -> ArtifactRef:
        attempt.file(1).unlink()
        return put(artifacts, path, key, **options)

    monkeypatch.setattr(type(store.artifacts), "put", deleted)
    attempt.add(1)
    attempt.checkpoints.close()
    assert done(store, job) == 1


def test_superseded_checkpoint_may_be_deleted(
    attempt: CheckpointFiles, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, storing, proceed = type(store.artifacts).put, Event(), Event()

    def slow(artifacts: Any, path: Path, key: str, **options: Any) -> ArtifactRef:
        storing.set()
        assert proceed.wait(30)
        return put(artifacts, path, key, **options)

    monkeypatch.setattr(type(store.artifacts), "put", slow)
    attempt.add(1)
    assert storing.wait(30)
    attempt.add(2)
    attempt.file(2).unlink()
    try:
        attempt.add(3)
    finally:
        proceed.set()
    attempt.checkpoints.close()
    assert (done(store, job), attempt.remaining()) == (3, [])


def test_newer_checkpoint_is_stored_when_the_older_cannot_be_deleted(
    attempt: CheckpointFiles, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(store.artifacts), "delete", refuse)
    with capture_logs() as lines:
        for number in (1, 2):
            attempt.add(number)
            attempt.checkpoints._pool.submit(lambda: None).result(30)  # One thread: earlier work is finished.
        attempt.checkpoints.close()
    assert done(store, job) == 2
    assert "checkpoint_not_stored" not in [line["event"] for line in lines]
    assert "best_effort_failed" in [line["event"] for line in lines]


def test_unexpected_failure_is_logged_and_the_next_checkpoint_is_stored(
    attempt: CheckpointFiles, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No code reads the result of the storing thread."""

    def fail(*_: object) -> None:
        raise RecursionError

    with capture_logs() as lines:
        with monkeypatch.context() as broken:
            broken.setattr(type(store.artifacts), "put", fail)
            attempt.add(1)
            attempt.checkpoints._pool.submit(lambda: None).result(30)
        attempt.add(2)
        attempt.checkpoints.close()
    assert [(line["event"], line["log_level"]) for line in lines if line["event"] == "checkpoint_not_stored"] == [
        ("checkpoint_not_stored", "error")
    ]
    assert done(store, job) == 2


def test_checkpoint_of_a_stage_that_does_not_resume_fails_the_attempt(run: Run) -> None:
    spec = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})
    with pytest.raises(WorkerDied, match="does not resume"):
        run(spec=spec)
