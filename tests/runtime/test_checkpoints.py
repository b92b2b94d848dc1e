"""State of a killed attempt: found by the next one, by nobody else, and not when it was touched."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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
from shared.runtime.execute.chunk_transfer import ChunkDownloader
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
from shared.storage.settings import StorageSettings
from tests.conftest import Infrastructure

SPEC = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={"image": "face/image"}, resumes=True)
ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., StageOutput]


@pytest.fixture
def store(stack: Infrastructure, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    return ObjectStore.open(StorageSettings())


@pytest.fixture
def job() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def run(store: ObjectStore, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs one attempt at the job: with what differs from the others."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    worker = WorkerProcess(SPEC, "puppet")
    images = {name: store.artifacts.put_bytes(name.encode(), f"jobs/default/{job}/face/1/{name}") for name in "ab"}

    def attempt(
        image: ArtifactRef = images["a"], spec: StageSpec = SPEC, do: str = "go on", **fields: Any
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


def begins_anew(run: Run, **differences: Any) -> None:
    """Without state the handler saves some and dies."""
    with pytest.raises(WorkerDied, match="-9"):
        run(**differences)


def objects(store: ObjectStore, job: str) -> list[str]:
    return [entry.key for entry in store.artifacts.list_prefix(keys.checkpoint_prefix("default", job, "trial"))]


def test_killed_attempt_is_resumed_from_its_checkpoint(run: Run, store: ObjectStore, job: str) -> None:
    begins_anew(run)
    assert len(objects(store, job)) == 2, "the newest state and the document that names it"
    assert run().metadata["saved"] == "2"


def test_checkpoint_of_another_request_or_other_inputs_is_ignored(run: Run) -> None:
    begins_anew(run)
    begins_anew(run, engine_params={"blinks": False})
    begins_anew(run, image=run.images["b"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["object", "gone", "document", "forged"])
def test_altered_checkpoint_is_ignored(run: Run, store: ObjectStore, job: str, how: str) -> None:
    begins_anew(run)
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
    begins_anew(run)


def test_checkpoints_are_deleted_when_the_stage_completes(run: Run, store: ObjectStore, job: str) -> None:
    begins_anew(run)
    ref = InputRef(key="default/x")
    task = RenderTask(job_id=job, request_id="r", request=RenderRequest(portrait=ref, speech=ref), submitted_ms=1)
    Cleanup(SPEC, store).after(task, job_ended=False)
    assert objects(store, job) == []


@pytest.mark.parametrize("what", ["a link", "nothing"])
def test_checkpoint_that_is_no_regular_file_fails_the_attempt(
    run: Run, store: ObjectStore, job: str, what: str
) -> None:
    with pytest.raises(WorkerDied, match="can't be opened"):
        run(do=f"hand over {what}")
    assert objects(store, job) == []


class States:
    """The states of one attempt without a worker: its files are written here."""

    def __init__(self, store: ObjectStore, job: str, folder: Path) -> None:
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref)
        task = RenderTask(job_id=job, request_id="r", request=request, submitted_ms=1)
        self.folder = WorkFolder(folder / "work")
        telemetry = WorkerTelemetry("trial", TracerProvider().get_tracer("test"))
        self.saved = CheckpointStore(store, task, "trial", {}, "1", self.folder, telemetry)

    def file(self, number: int) -> Path:
        return self.folder.path / f"state-{number}"

    def add(self, number: int) -> None:
        self.file(number).write_text(f"{number}")
        self.saved.add(records.Checkpoint(path=str(self.file(number)), done=number))

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.path.iterdir())


@pytest.fixture
def states(store: ObjectStore, job: str, tmp_path: Path) -> Iterator[States]:
    found = States(store, job, tmp_path)
    yield found
    found.saved.close()
    found.folder.close()


def done(store: ObjectStore, job: str) -> object:
    document = store.documents.get(keys.checkpoint_record("default", job, "trial"))
    return document["done"] if isinstance(document, dict) else None


def test_checkpoint_that_cannot_be_stored_is_deleted_from_disk(
    states: States, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(store.artifacts), "put", refuse)
    states.add(1)
    states.saved.close()
    assert states.left() == []


def test_checkpoint_deleted_by_the_worker_is_stored_unchanged(
    states: States, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = type(store.artifacts).put

    def taken_back(artifacts: Any, path: Path, key: str) -> ArtifactRef:
        states.file(1).unlink()
        return put(artifacts, path, key)

    monkeypatch.setattr(type(store.artifacts), "put", taken_back)
    states.add(1)
    states.saved.close()
    assert done(store, job) == 1


def test_superseded_checkpoint_may_be_deleted(
    states: States, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, storing, go_on = type(store.artifacts).put, Event(), Event()

    def slow(artifacts: Any, path: Path, key: str) -> ArtifactRef:
        storing.set()
        assert go_on.wait(30)
        return put(artifacts, path, key)

    monkeypatch.setattr(type(store.artifacts), "put", slow)
    states.add(1)
    assert storing.wait(30)
    states.add(2)
    states.file(2).unlink()
    try:
        states.add(3)
    finally:
        go_on.set()
    states.saved.close()
    assert (done(store, job), states.left()) == (3, [])


def test_newer_checkpoint_is_stored_when_the_older_cannot_be_deleted(
    states: States, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(store.artifacts), "delete", refuse)
    with capture_logs() as said:
        for number in (1, 2):
            states.add(number)
            states.saved._pool.submit(lambda: None).result(30)  # One thread: what came before it is through.
        states.saved.close()
    assert done(store, job) == 2
    assert "state_not_stored" not in [line["event"] for line in said]
    assert "state_left_to_lifecycle" in [line["event"] for line in said]


def test_unexpected_failure_is_logged_and_the_next_checkpoint_is_stored(
    states: States, store: ObjectStore, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks the storing thread for its result."""

    def fail(*_: object) -> None:
        raise RecursionError

    with capture_logs() as said:
        with monkeypatch.context() as broken:
            broken.setattr(type(store.artifacts), "put", fail)
            states.add(1)
            states.saved._pool.submit(lambda: None).result(30)
        states.add(2)
        states.saved.close()
    assert [(line["event"], line["log_level"]) for line in said if line["event"] == "state_not_stored"] == [
        ("state_not_stored", "error")
    ]
    assert done(store, job) == 2


def test_chunk_that_cannot_be_announced_ends_the_attempt() -> None:
    class Worker:
        def send(self, _: object) -> None:
            raise ValueError("the pipe is of another opinion")

    chunk: Future[Path] = Future()
    downloads = ChunkDownloader(None, None, Worker(), {}, Path("unused"), None)  # type: ignore[arg-type]
    chunk.set_result(Path("frames-00000"))
    chunk.add_done_callback(lambda done: downloads._announce(records.ChunkRequest(role="frames", index=0), done))
    assert isinstance(downloads.failure, ValueError)
    downloads.close()


def test_checkpoint_of_a_stage_that_does_not_resume_fails_the_attempt(run: Run) -> None:
    spec = StageSpec(name="trial", handler="tests.runtime.trial_handler", inputs={})
    with pytest.raises(WorkerDied, match="does not resume"):
        run(spec=spec)
