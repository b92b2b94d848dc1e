"""One record from poll to commit, without broker or object store: its outcomes, and the order of what is published."""

import errno
import tempfile
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.events import Done
from shared.messages.metadata import AudioMetadata, EncodeMetadata
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.consume.assignment import Completions, PartitionAssignment, Record
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.failures import DeliveryFailed, RecordRefused, TopicMissing, WorkerDied
from shared.runtime.host.stage_service import task_processor
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher
from shared.slot import records
from shared.slot.spec import StageSpec
from shared.storage import keys, markers
from shared.storage.errors import StoreUnavailable
from shared.telemetry import tracing
from tests.runtime.memory import (
    Journal,
    MemoryConsumer,
    MemoryProducers,
    MemoryStorage,
    Message,
    ScriptedWorker,
    finished,
)

FACE = StageSpec(name="face", handler="unused", inputs={})
ENCODE = StageSpec(name="encode", handler="unused", inputs={})
FRONT = StageSpec(name="audio", handler="unused", inputs={})
AUDIO = AudioMetadata(codec="pcm", sample_rate=48_000, channels=1, duration_s=1.0, sound_channels=1)
ENCODED = EncodeMetadata(duration_s=1.0, width=8, height=8, fps=25, frames=25, container_drift_ms=0.0, bytes=1)


class Rig:
    """A stage in memory."""

    def __init__(self, spec: StageSpec, scratch: Path) -> None:
        self.journal: Journal = []
        self.store = MemoryStorage(self.journal)
        self.producers = MemoryProducers(self.journal)
        self.cancelled: set[str] = set()
        self.assignment = PartitionAssignment("t", 0)
        self.worker = ScriptedWorker(finished(image=b"i"))
        self.job = uuid.uuid4().hex
        self.processor = task_processor(
            spec,
            "group",
            RuntimeSettings(free_space_reserve_mb=0),
            self.store,
            self.producers,  # type: ignore[arg-type]
            tracing.setup("test", "0"),
            lambda _, job: job in self.cancelled,
            DiskSpace(scratch, 0),
            lambda: False,
        )

    def task(self, **fields: Any) -> RenderTask:
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref, **fields)
        return RenderTask(job_id=self.job, request_id="r", request=request, submitted_ms=1)

    def claim_request(self) -> None:
        """As the front did when it accepted the job."""
        request = markers.RequestRecord(request_id="r", body_sha256="0" * 64)
        markers.claim_request(self.store.documents, "default", self.job, request)

    def handle(self, value: bytes, headers: list[tuple[str, bytes | None]] | None = None) -> None:
        record = Record("t", 0, 7, self.job.encode(), value, headers or [], 1)
        self.processor.handle(record, self.assignment, self.worker)

    def types(self) -> list[str]:
        return [event.type for event in self.producers.events()]

    def end(self) -> Any:
        (terminal,) = [event for event in self.producers.events() if event.type in ("done", "rejected", "failed")]
        return terminal


@pytest.fixture
def face(tmp_path: Path) -> Rig:
    return Rig(FACE, tmp_path)


def test_marker_is_claimed_before_the_task_is_published(face: Rig) -> None:
    face.handle(face.task().dump())
    steps = [step for step in face.journal if step[1] in ("face.json", "render.infer.puppet")]
    assert steps == [("claimed", "face.json"), ("sent", "render.infer.puppet"), ("delivered", "render.infer.puppet")]


def test_record_is_committed_after_everything_it_published_is_delivered(face: Rig) -> None:
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


def test_completed_task_is_published_again_without_work(face: Rig) -> None:
    task = face.task()
    markers.claim_completion(face.store.documents, "default", face.job, "face", StageOutput(attempt="other"))
    face.handle(task.dump())
    assert face.worker.runs == 0
    assert face.producers.tasks("render.infer.puppet")[0].outputs["face"].attempt == "other"


def test_lost_race_publishes_the_winners_output_and_deletes_its_own(face: Rig) -> None:
    winner = StageOutput(attempt="winner")

    def slow(work: records.Work) -> records.WorkResult:
        face.store.documents.values[keys.marker("default", face.job, "face")] = winner.model_dump(mode="json")
        return finished(image=b"i")(work)

    face.worker.answer = slow
    face.handle(face.task().dump())
    assert face.producers.tasks("render.infer.puppet")[0].outputs["face"] == winner
    assert face.store.artifacts.values == {}


@pytest.mark.parametrize("when", ["before", "during"])
def test_lost_partition_publishes_nothing_and_ends_nothing(face: Rig, when: str) -> None:
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


def test_failure_after_the_partition_was_lost_is_the_new_owners(face: Rig) -> None:
    def lose(_: records.Work) -> records.WorkResult:
        face.assignment.held = False
        raise WorkerDied("killed")

    face.worker.answer = lose
    face.handle(face.task().dump())
    assert face.producers.dead_letters() == []


def test_cancelled_job_ends_without_work(face: Rig) -> None:
    face.cancelled.add(face.job)
    face.handle(face.task().dump())
    assert (face.end().type, face.end().code, face.worker.runs) == ("failed", Code.CANCELLED, 0)


def test_refused_input_rejects_the_job(face: Rig) -> None:
    face.worker.answer = lambda _: records.Refused(code=Code.NO_FACE, message="no face", field="portrait")
    face.handle(face.task().dump())
    assert (face.end().type, face.end().code, face.end().field) == ("rejected", Code.NO_FACE, "portrait")
    assert face.producers.dead_letters() == []


def test_worker_that_always_dies_gets_three_attempts_then_a_dead_letter(face: Rig) -> None:
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


def test_attempt_that_survives_names_its_number(face: Rig) -> None:
    def die_once(work: records.Work) -> records.WorkResult:
        if face.worker.runs == 1:
            raise WorkerDied("killed")
        return finished()(work)

    face.worker.answer = die_once
    face.handle(face.task().dump())
    assert [event.attempt for event in face.producers.events()] == [1, 2, 2]


@pytest.mark.parametrize("how", ["headers", "key", "body"])
def test_unreadable_task_ends_its_job_once(face: Rig, how: str) -> None:
    values = {"headers": b"\xff", "key": b"{}", "body": b'{"job_id": "%s", "request": 7}' % face.job.encode()}
    headers = [("ce_id", f"default/{face.job}:face".encode()), ("ce_subject", face.job.encode())]
    face.claim_request()
    for _ in range(2):
        face.handle(values[how], headers if how == "headers" else None)
    first, again = (event for event in face.producers.events() if event.type == "failed")
    assert first == again, "a redelivery repeats the stored event"
    assert (first.job_id, first.code, first.request_id) == (face.job, Code.POISON, "r")
    assert len(face.producers.dead_letters()) == 2


def test_unreadable_task_of_an_unknown_job_leaves_the_id_free(face: Rig) -> None:
    face.handle(b"{}")
    assert (face.end().job_id, face.end().code) == (face.job, Code.POISON)
    assert markers.read_end(face.store.documents, "default", face.job) is None


def test_unreadable_task_of_no_known_job_is_a_dead_letter_without_event(face: Rig) -> None:
    face.job = "not a valid id!"
    face.handle(b"\x00")
    assert face.types() == []
    assert face.producers.dead_letters()[0]["__dlq.errors.code"] == b"POISON"


def test_missing_artifact_of_an_ended_job_repeats_its_end(tmp_path: Path) -> None:
    rig = Rig(replace(FACE, inputs={"image": "audio/image"}), tmp_path)
    rig.handle(rig.task().dump())
    rig.handle(rig.task().dump())
    assert len(rig.producers.dead_letters()) == 1
    assert rig.types().count("failed") == 2


def test_dead_letter_is_on_the_broker_before_its_job_ends(face: Rig) -> None:
    face.worker.answer = lambda _: records.HandlerFailed(exception="E", message="m", stack="")
    face.handle(face.task().dump())
    steps = [step for step in face.journal if step in (("delivered", "render.dlq"), ("claimed", "end.json"))]
    assert steps == [("delivered", "render.dlq"), ("claimed", "end.json")]


def test_missing_engine_topic_fails_the_job(face: Rig) -> None:
    face.producers.errors["render.infer.puppet"] = TopicMissing("UNKNOWN_TOPIC_OR_PART")
    face.handle(face.task().dump())
    assert face.end().code == Code.ENGINE_UNAVAILABLE


def test_task_that_the_broker_never_accepts_is_dead_lettered(face: Rig) -> None:
    face.producers.errors["render.infer.puppet"] = RecordRefused("MSG_SIZE_TOO_LARGE")
    face.handle(face.task().dump())
    assert face.end().code == Code.INTERNAL


@pytest.mark.parametrize("error", [DeliveryFailed("timed out"), StoreUnavailable("away")])
def test_fault_of_broker_or_store_settles_nothing(face: Rig, error: Exception) -> None:
    def away(_: records.Work) -> records.WorkResult:
        raise error

    face.worker.answer = away
    with pytest.raises(type(error)):
        face.handle(face.task().dump())
    assert face.producers.dead_letters() == []
    assert "failed" not in face.types()


def test_bug_while_a_forwarded_task_is_settled_does_not_fail_its_job(
    face: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next stage has the task already."""
    flush = EventPublisher.flush
    calls = iter([ZeroDivisionError("a bug")])

    def broken(publisher: EventPublisher) -> None:
        for error in calls:
            raise error
        flush(publisher)

    monkeypatch.setattr(EventPublisher, "flush", broken)
    face.handle(face.task().dump())
    assert len(face.producers.dead_letters()) == 1
    assert "failed" not in face.types()


def test_bug_while_a_failure_is_classified_is_dead_lettered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(replace(FACE, inputs={"image": "audio/image"}), tmp_path)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(markers, "read_end", broken)
    rig.handle(rig.task().dump())
    assert rig.end().code == Code.INTERNAL
    assert len(rig.producers.dead_letters()) == 1


def test_dead_letter_is_sent_once_when_its_event_can_not_be_published(
    face: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(EventPublisher, "failed", broken)
    face.worker.answer = lambda _: records.HandlerFailed(exception="E", message="m", stack="")
    face.handle(face.task().dump())
    assert len(face.producers.dead_letters()) == 1


def test_disk_without_inodes_for_the_scratch_folder_is_waited_for(face: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdtemp = tempfile.mkdtemp
    errors = iter([OSError(errno.ENOSPC, "no inodes")])

    def full_once(*arguments: Any, **options: Any) -> str:
        for error in errors:
            raise error
        return mkdtemp(*arguments, **options)

    monkeypatch.setattr("shared.runtime.execute.attempt.tempfile.mkdtemp", full_once)
    face.handle(face.task().dump())
    assert len(face.producers.tasks("render.infer.puppet")) == 1
    assert [event.attempt for event in face.producers.events() if event.type == "started"] == [1, 1]


def encode_rig(tmp_path: Path) -> Rig:
    """The last stage, whose worker has finished."""
    rig = Rig(ENCODE, tmp_path)
    rig.worker.answer = finished(ENCODED.model_dump(mode="json"), video=b"v", poster=b"p")
    return rig


def last_task(rig: Rig, **fields: Any) -> bytes:
    output = StageOutput(attempt="1", metadata=AUDIO.model_dump(mode="json"))
    return rig.task(**fields).with_output("audio", output).dump()


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


def request_body(**fields: Any) -> bytes:
    ref = InputRef(key="default/x")
    return RenderRequest(portrait=ref, speech=ref, **fields).model_dump_json(exclude_none=True).encode()


def test_request_is_accepted_and_becomes_a_task(tmp_path: Path) -> None:
    rig = Rig(FRONT, tmp_path)
    rig.handle(request_body())
    assert rig.types() == ["accepted", "started", "finished"]
    assert rig.producers.tasks("render.face")[0].job_id == rig.job


def test_other_request_under_the_same_id_is_a_conflict_that_ends_nothing(tmp_path: Path) -> None:
    rig = Rig(FRONT, tmp_path)
    rig.handle(request_body())
    rig.handle(request_body(labels={"other": "body"}))
    assert rig.types()[-1] == "conflict"
    assert len(rig.producers.tasks("render.face")) == 1


def test_request_of_an_ended_job_repeats_its_end(tmp_path: Path) -> None:
    rig = Rig(FRONT, tmp_path)
    rig.cancelled.add(rig.job)
    rig.handle(request_body())
    rig.handle(request_body())
    assert rig.types() == ["failed", "failed"]


def test_inputs_of_a_request_with_another_key_are_kept_for_its_purge(tmp_path: Path) -> None:
    rig = Rig(FRONT, tmp_path)
    rig.handle(request_body(job_id="another"))
    assert rig.end().code == Code.KEY_MISMATCH
    stored = markers.read_request(rig.store.documents, "default", rig.end().job_id)
    assert stored is not None
    assert len(stored.inputs) == 2


def test_invalid_request_is_rejected_and_no_dead_letter(tmp_path: Path) -> None:
    rig = Rig(FRONT, tmp_path)
    rig.handle(b"{}")
    assert rig.end().type == "rejected"
    assert rig.producers.dead_letters() == []
