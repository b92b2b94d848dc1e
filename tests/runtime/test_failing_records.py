"""Records that fail, without broker or object store: one dead letter, one terminal event, and no service that ends."""

import errno
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.metadata import AudioMetadata
from shared.messages.task import StageOutput, UnreadableMetadata
from shared.runtime.failures import DeliveryFailed, RecordRefused, TopicMissing
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.explanations import OPERATOR_STEPS
from shared.slot import records
from shared.storage import keys, markers
from tests.runtime.memory_stage import FACE, MemoryStage


@pytest.mark.parametrize("how", ["headers", "key", "body"])
def test_unreadable_task_ends_its_job_once(face: MemoryStage, how: str) -> None:
    values = {"headers": b"\xff", "key": b"{}", "body": b'{"job_id": "%s", "request": 7}' % face.job.encode()}
    headers = [("ce_id", f"default/{face.job}:face".encode()), ("ce_subject", face.job.encode())]
    face.claim_request()
    for _ in range(2):
        face.handle(values[how], headers if how == "headers" else None)
    first, again = (event for event in face.producers.events() if event.type == "failed")
    assert first == again, "a redelivery repeats the stored event"
    assert (first.job_id, first.code, first.request_id) == (face.job, Code.POISON, "r")
    assert len(face.producers.dead_letters()) == 2


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", "the record has no value"),
        (b"{secret", "The record is not valid JSON"),
        (b'{"request": "secret"}', "request must be"),
        (b'{"job_id": 7, "request_id": "r", "submitted_ms": 1, "request": {}}', "job_id must be"),
        (b" " * 70_000, "70000 bytes; a task has at most 65536"),
    ],
)
def test_unreadable_task_says_what_is_wrong_and_what_to_do(face: MemoryStage, value: bytes, fault: str) -> None:
    face.handle(value)
    message, (dead_letter,) = face.end().message, face.producers.dead_letters()
    header = (dead_letter["__dlq.errors.message"] or b"").decode()
    for text in (message, header):
        assert fault.lower() in text.lower()
        assert "secret" not in text.lower()
        assert "\n" not in text
    assert message.startswith("The face stage failed: ")
    assert message.endswith(
        "Submit the request again with another job id. Its record is kept: `lipstage dlq show 0:0`."
    )
    assert header.endswith(OPERATOR_STEPS[Code.POISON])


def test_missing_artifact_is_named(tmp_path: Path) -> None:
    rig = MemoryStage(replace(FACE, inputs={"image": "audio/pcm"}), tmp_path)
    rig.handle(rig.task().dump())
    assert "no artifact pcm of the audio stage" in rig.end().message
    stored = rig.store.artifacts.put_bytes(b"x", "default/secret")
    rig.store.artifacts.values.clear()
    rig.job = "another"
    output = StageOutput(attempt="1", artifacts={"pcm": stored})
    rig.handle(rig.task().with_output("audio", output).dump())
    message = rig.producers.events()[-1].message
    assert "the artifact pcm of the audio stage can't be used" in message
    assert "secret" not in message


def test_text_of_an_unexpected_exception_is_for_the_operator_only(last: MemoryStage) -> None:
    last.worker.answer = lambda _: records.HandlerFailed(exception="KeyError", message="'a name'", stack="")
    last.handle(last.task().dump())
    assert "KeyError in the code of the stage" in last.end().message
    assert "a name" not in last.end().message
    assert b"'a name'" in (last.producers.dead_letters()[0]["__dlq.errors.message"] or b"")


def test_unreadable_task_of_a_job_with_an_unreadable_request_ends_it_once(face: MemoryStage) -> None:
    face.store.documents.values[keys.request("default", face.job)] = {"altered": True}
    for value in (b"{", b"[]"):
        face.handle(value)
    first, again = (event for event in face.producers.events() if event.type == "failed")
    assert first == again, "its request can't be read, but its end can"


def test_metadata_of_an_earlier_stage_that_a_handler_can_not_read_is_poison(last: MemoryStage) -> None:
    with pytest.raises(UnreadableMetadata, match=r"AudioMetadata in the task.*: codec: Field required") as raised:
        last.task().with_output("audio", StageOutput(attempt="1")).metadata("audio", AudioMetadata)
    failed = records.HandlerFailed(exception=type(raised.value).__name__, message=str(raised.value), stack="")
    last.worker.answer = lambda _: failed
    last.handle(last.task().dump())
    assert last.end().code is Code.POISON, "no attempt makes it readable"
    assert len(last.producers.dead_letters()) == 1


def test_unreadable_task_of_an_unknown_job_leaves_the_id_free(face: MemoryStage) -> None:
    face.handle(b"{}")
    assert (face.end().job_id, face.end().code) == (face.job, Code.POISON)
    assert markers.read_end(face.store.documents, "default", face.job) is None


def test_unreadable_task_of_no_known_job_is_a_dead_letter_without_event(face: MemoryStage) -> None:
    face.job = "not a valid id!"
    face.handle(b"\x00")
    assert face.types() == []
    assert face.producers.dead_letters()[0]["__dlq.errors.code"] == b"POISON"


def test_missing_artifact_of_an_ended_job_repeats_its_end(tmp_path: Path) -> None:
    rig = MemoryStage(replace(FACE, inputs={"image": "audio/image"}), tmp_path)
    rig.handle(rig.task().dump())
    rig.handle(rig.task().dump())
    assert len(rig.producers.dead_letters()) == 1
    assert rig.types().count("failed") == 2


def test_dead_letter_is_on_the_broker_before_its_job_ends(last: MemoryStage) -> None:
    last.worker.answer = lambda _: records.HandlerFailed(exception="E", message="m", stack="")
    last.handle(last.task().dump())
    steps = [step for step in last.journal if step in (("delivered", "render.dlq"), ("claimed", "end.json"))]
    assert steps == [("delivered", "render.dlq"), ("claimed", "end.json")]


def test_missing_engine_topic_fails_the_job(last: MemoryStage) -> None:
    last.producers.errors["render.infer.puppet"] = TopicMissing("UNKNOWN_TOPIC_OR_PART")
    last.handle(last.task().dump())
    assert last.end().code == Code.ENGINE_UNAVAILABLE


def test_task_that_the_broker_never_accepts_is_dead_lettered(last: MemoryStage) -> None:
    last.producers.errors["render.infer.puppet"] = RecordRefused("MSG_SIZE_TOO_LARGE")
    last.handle(last.task().dump())
    assert last.end().code == Code.INTERNAL


@pytest.mark.parametrize("error", [DeliveryFailed("timed out"), OSError(errno.EIO, "disk")])
def test_fault_of_broker_or_machine_settles_nothing(face: MemoryStage, error: Exception) -> None:
    def away(_: records.Work) -> records.WorkResult:
        raise error

    face.worker.answer = away
    with pytest.raises(type(error)):
        face.handle(face.task().dump())
    assert face.producers.retries() == []
    assert face.producers.dead_letters() == []
    assert "failed" not in face.types()


def test_bug_while_a_forwarded_task_is_settled_does_not_fail_its_job(
    last: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next stage has the task already."""
    flush = EventPublisher.flush
    calls = iter([ZeroDivisionError("a bug")])

    def broken(publisher: EventPublisher) -> None:
        for error in calls:
            raise error
        flush(publisher)

    monkeypatch.setattr(EventPublisher, "flush", broken)
    last.handle(last.task().dump())
    assert len(last.producers.dead_letters()) == 1
    assert "failed" not in last.types()


def test_bug_while_a_failure_is_classified_is_dead_lettered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = MemoryStage(replace(FACE, inputs={"image": "audio/image"}), tmp_path, max_attempts=1)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(markers, "read_end", broken)
    rig.handle(rig.task().dump())
    assert rig.end().code == Code.INTERNAL
    assert len(rig.producers.dead_letters()) == 1


def test_dead_letter_is_sent_once_when_its_event_can_not_be_published(
    last: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(EventPublisher, "failed", broken)
    last.worker.answer = lambda _: records.HandlerFailed(exception="E", message="m", stack="")
    last.handle(last.task().dump())
    assert len(last.producers.dead_letters()) == 1


def test_disk_without_inodes_for_the_scratch_folder_is_waited_for(
    face: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
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
