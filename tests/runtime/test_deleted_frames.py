"""A task whose frames are deleted: a duplicate of an ended job, or a dead letter."""

import uuid
from pathlib import Path

import pytest

from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.host.processing import task_processor
from shared.runtime.settings import RuntimeSettings
from shared.runtime.waiting import never
from shared.slot.spec import StageSpec
from shared.storage import markers
from shared.storage.object_store import ObjectStore
from shared.telemetry import tracing
from tests.runtime.memory import MemoryProducers
from tests.runtime.test_janitor import done

SPEC = StageSpec(name="encode", handler="tests.runtime.trial_handler", inputs={}, streams={"frames": "infer/frames"})


@pytest.fixture
def job() -> str:
    return uuid.uuid4().hex


def published(store: ObjectStore, job: str, scratch: Path) -> list[tuple[str, bytes]]:
    """The records that encode publishes for a task whose frames do not exist."""
    missing = ArtifactRef(key=f"jobs/default/{job}/infer/a1/frames.json", sha256="0" * 64, size=9)
    ref = InputRef(key="default/x")
    task = RenderTask(
        job_id=job,
        request_id="r",
        request=RenderRequest(portrait=ref, speech=ref),
        submitted_ms=1,
        outputs={"infer": StageOutput(attempt="a1", artifacts={"frames": missing})},
    )
    producers = MemoryProducers([])
    settings = RuntimeSettings(free_space_reserve_mb=0)
    traces = tracing.setup("t", "0")
    disk = DiskSpace(scratch, 0)
    processor = task_processor(SPEC, "g", settings, store, producers, traces, lambda *_: False, disk, never)  # type: ignore[arg-type]
    record = Record("render.encode", 0, 7, job.encode(), task.dump(), [], 1)
    processor.handle(record, PartitionAssignment("render.encode", 0), WorkerProcess(SPEC, "puppet"))
    return [(topic, value or b"") for topic, value, _ in producers.records]


def test_task_of_an_ended_job_is_no_dead_letter(store: ObjectStore, job: str, tmp_path: Path) -> None:
    markers.claim_end(store.documents, "default", job, done(job))
    records = published(store, job, tmp_path)
    assert [topic for topic, _ in records if topic.endswith("dlq")] == []
    assert b'"type":"done"' in records[-1][1]


def test_task_of_a_running_job_becomes_a_dead_letter(store: ObjectStore, job: str, tmp_path: Path) -> None:
    records = published(store, job, tmp_path)
    assert [topic for topic, _ in records if topic.endswith("dlq")] == ["render.dlq"]
    assert b'"code":"ARTIFACT_MISSING"' in records[-1][1]
