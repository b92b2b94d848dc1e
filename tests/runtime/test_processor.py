"""One record from poll to commit, without broker or object store: the order of what is published, and its outcomes."""

import threading
import uuid
from pathlib import Path

import pytest

from shared.messages.codes import Code
from shared.messages.events import Done, Failed
from shared.messages.task import StageOutput
from shared.runtime.consume.assignment import Completions
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.storage import keys, markers
from tests.runtime.memory import (
    MemoryConsumer,
    Message,
    finished,
)
from tests.runtime.memory_stage import ENCODE, ENCODED, MemoryStage, last_task


def test_marker_is_claimed_before_the_task_is_published(face: MemoryStage) -> None:
    face.handle(face.task().dump())
    steps = [step for step in face.journal if step[1] in ("face.json", "render.infer.puppet")]
    assert steps == [("claimed", "face.json"), ("sent", "render.infer.puppet"), ("delivered", "render.infer.puppet")]


def test_record_is_committed_after_everything_it_published_is_delivered(face: MemoryStage) -> None:
    """Consumer loop, slots and processor together: a crash at any moment loses no job."""
    tasks = [face.task().model_copy(update={"job_id": uuid.uuid4().hex}) for _ in range(3)]
    stop = threading.Event()
    consumer = MemoryConsumer(face.journal, [Message(n, task.dump()) for n, task in enumerate(tasks)], stop.set)
    completions = Completions()
    slots = WorkerSlots("face", [face.worker], face.processor.handle, completions, SlotClock(), print)
    slots.start()
    ConsumerLoop(consumer, ["t"], slots, completions, 0).run(stop, 5)
    slots.close()
    for number in range(1, len(tasks) + 1):
        before = face.journal[: face.journal.index(("committed", str(number)))]
        assert before.count(("delivered", "render.infer.puppet")) >= number
    assert [step for step, _ in face.journal].count("sent") == [step for step, _ in face.journal].count("delivered")


def test_completed_task_is_published_again_without_work(face: MemoryStage) -> None:
    task = face.task()
    markers.claim_completion(face.store.documents, "default", face.job, "face", StageOutput(attempt="other"))
    face.handle(task.dump())
    assert face.worker.runs == 0
    assert face.producers.tasks("render.infer.puppet")[0].outputs["face"].attempt == "other"


def test_lost_race_publishes_the_winners_output_and_deletes_its_own(face: MemoryStage) -> None:
    winner = StageOutput(attempt="winner")

    def slow(work: records.Work) -> records.WorkResult:
        face.store.documents.values[keys.marker("default", face.job, "face")] = winner.model_dump(mode="json")
        return finished(image=b"i")(work)

    face.worker.answer = slow
    face.handle(face.task().dump())
    assert face.producers.tasks("render.infer.puppet")[0].outputs["face"] == winner
    assert face.store.artifacts.values == {}


@pytest.mark.parametrize("when", ["before", "during"])
def test_lost_partition_publishes_nothing_and_ends_nothing(face: MemoryStage, when: str) -> None:
    def lose(work: records.Work) -> records.WorkResult:
        face.assignment.held = False
        return finished()(work)

    if when == "before":
        face.assignment.held = False
    face.worker.answer = lose
    face.handle(face.task().dump())
    assert face.producers.tasks("render.infer.puppet") == []
    assert not {"done", "rejected", "failed"} & set(face.types())
    assert face.producers.dead_letters() == []


def test_failure_after_the_partition_was_lost_is_the_new_owners(face: MemoryStage) -> None:
    def lose(_: records.Work) -> records.WorkResult:
        face.assignment.held = False
        raise WorkerDied("killed")

    face.worker.answer = lose
    face.handle(face.task().dump())
    assert face.producers.dead_letters() == []


def test_task_of_a_purged_job_repeats_its_end_without_work(face: MemoryStage) -> None:
    """The marker is gone, and the inputs may still be in the cache: nothing else says that the work was done."""
    documents = face.store.documents
    face.claim_request()
    record = markers.read_request(documents, "default", face.job)
    assert record is not None
    fields = {"job_id": face.job, "tenant": "default", "request_id": "r", "time_ms": 1, "stage": "infer"}
    end = Failed.model_validate(fields | {"code": "CANCELLED", "message": "m"})
    markers.record_purge(documents, "default", face.job, record.model_copy(update={"purged_ms": 1}), end)
    face.handle(face.task().dump())
    assert face.types() == ["failed"]
    assert face.worker.runs == 0
    assert face.producers.tasks("render.infer.puppet") == []


def test_cancelled_job_ends_without_work(face: MemoryStage) -> None:
    face.cancelled.add(face.job)
    face.handle(face.task().dump())
    assert (face.end().type, face.end().code, face.worker.runs) == ("failed", Code.CANCELLED, 0)


def test_refused_input_rejects_the_job(face: MemoryStage) -> None:
    face.worker.answer = lambda _: records.Refused(code=Code.NO_FACE, message="no face", field="portrait")
    face.handle(face.task().dump())
    assert (face.end().type, face.end().code, face.end().field) == ("rejected", Code.NO_FACE, "portrait")
    assert face.producers.dead_letters() == []


def test_worker_that_always_dies_gets_three_attempts_then_a_dead_letter(face: MemoryStage) -> None:
    def die(_: records.Work) -> records.WorkResult:
        face.worker.pid = None
        raise WorkerDied("killed")

    face.worker.answer = die
    face.handle(face.task().dump())
    assert face.worker.runs == 3
    assert [event.attempt for event in face.producers.events() if event.type == "started"] == [1, 2, 3]
    assert (face.end().code, face.end().attempt) == (Code.CRASH_LOOP, 3)
    (dead_letter,) = face.producers.dead_letters()
    assert dead_letter["__dlq.errors.delivery.count"] == b"3"
    assert dead_letter["__dlq.errors.class"] == b"crash_loop"


def test_attempt_that_survives_names_its_number(face: MemoryStage) -> None:
    def die_once(work: records.Work) -> records.WorkResult:
        if face.worker.runs == 1:
            raise WorkerDied("killed")
        return finished()(work)

    face.worker.answer = die_once
    face.handle(face.task().dump())
    assert [event.attempt for event in face.producers.events()] == [1, 2, 2]


def encode_rig(tmp_path: Path) -> MemoryStage:
    """The last stage, whose worker has finished."""
    rig = MemoryStage(ENCODE, tmp_path)
    rig.worker.answer = finished(ENCODED.model_dump(mode="json"), video=b"v", poster=b"p")
    return rig


def test_last_stage_ends_the_job_once_with_done(tmp_path: Path) -> None:
    rig = encode_rig(tmp_path)
    for _ in range(2):
        rig.handle(last_task(rig))
    done = [event for event in rig.producers.events() if isinstance(event, Done)]
    assert len(done) == 2
    assert done[0] == done[1], "the stored event is repeated"
    assert done[0].video.key.endswith("/video")


def test_refused_output_bucket_fails_the_job(tmp_path: Path) -> None:
    rig = encode_rig(tmp_path)
    rig.store.artifacts.refused.add("films")
    rig.handle(last_task(rig, output={"bucket": "films", "prefix": "default/films"}))
    assert rig.end().code == Code.OUTPUT_REFUSED
    assert rig.producers.dead_letters()[0]["__dlq.errors.code"] == b"OUTPUT_REFUSED"
