"""Replays at the stages, without broker or object store: which job they continue, and what its events say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.delivery_headers import ORIGIN, REPLAY_COUNT
from shared.messages.events import AnyEvent, Failed
from shared.messages.identity import request_id
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.storage import markers
from tests.runtime.memory_stage import FACE, FRONT, MemoryStage


def request_body(**fields: Any) -> bytes:
    ref = InputRef(key="default/x")
    return RenderRequest(portrait=ref, speech=ref, **fields).model_dump_json(exclude_none=True).encode()


def replayed(count: int, origin: str | None = None) -> list[tuple[str, bytes | None]]:
    headers: list[tuple[str, bytes | None]] = [(REPLAY_COUNT, str(count).encode())]
    return [*headers, (ORIGIN, origin.encode())] if origin else headers


def fail(rig: MemoryStage, code: Code = Code.INTERNAL, replays: int = 0) -> Failed:
    base = {"job_id": rig.job, "tenant": "default", "request_id": "r", "time_ms": 1, "replays": replays}
    end = Failed(**base, stage="audio", code=code, message="m")
    markers.claim_end(rig.store.documents, "default", rig.job, end)
    return end


def stored_end(rig: MemoryStage) -> Any:
    return markers.read_end(rig.store.documents, "default", rig.job)


def events(rig: MemoryStage) -> list[AnyEvent]:
    return rig.producers.events()


@pytest.fixture
def front(tmp_path: Path) -> MemoryStage:
    """The front, with a job that it accepted and that failed."""
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body())
    fail(rig)
    rig.producers.records.clear()
    return rig


def test_replayed_request_continues_its_job_and_every_event_bears_its_number(front: MemoryStage) -> None:
    front.handle(request_body(), replayed(1))
    assert front.types() == ["accepted", "finished"], "the marker of the first run replaces the work"
    assert {event.replays for event in events(front)} == {1}
    assert stored_end(front) is None
    assert len(front.producers.tasks("render.face")) == 1


def test_request_that_is_delivered_again_without_a_replay_repeats_the_end(front: MemoryStage) -> None:
    front.handle(request_body())
    assert front.types() == ["failed"]
    front.handle(request_body(), replayed(1))
    front.producers.records.clear()
    front.handle(request_body())
    assert front.types() == ["failed"], "also while the replay goes on"
    assert stored_end(front) is None


def test_replay_count_of_another_request_reopens_no_job(front: MemoryStage) -> None:
    front.handle(request_body(labels={"other": "body"}), replayed(9))
    assert front.types() == ["conflict"]
    assert stored_end(front).replays == 0
    assert front.producers.tasks("render.face") == []


@pytest.mark.parametrize("count", [b"-1", b"x", b"", b"9999999999", None])
def test_malformed_replay_count_is_none(front: MemoryStage, count: bytes | None) -> None:
    front.handle(request_body(), [(REPLAY_COUNT, count)])
    assert front.types() == ["failed"]


def test_cancelled_job_is_not_replayed_and_its_end_is_repeated_as_that_of_the_replay(tmp_path: Path) -> None:
    """Its readers have read ``replayed``, after which earlier ends do not count."""
    rig = MemoryStage(FACE, tmp_path)
    fail(rig, Code.CANCELLED)
    rig.handle(rig.task().dump(), replayed(2))
    (event,) = events(rig)
    assert (event.type, event.replays, getattr(event, "code", None)) == ("failed", 2, Code.CANCELLED)
    assert rig.worker.runs == 0
    assert stored_end(rig).replays == 0


def test_purged_job_is_not_replayed(tmp_path: Path) -> None:
    for spec, value in ((FRONT, request_body()), (FACE, None)):
        rig = MemoryStage(spec, tmp_path)
        rig.handle(request_body()) if spec is FRONT else rig.claim_request()
        end = fail(rig)
        documents = rig.store.documents
        record = markers.read_request(documents, "default", rig.job)
        assert record is not None
        markers.record_purge(documents, "default", rig.job, record.model_copy(update={"purged_ms": 1}), end)
        rig.producers.records.clear()
        rig.worker.runs = 0
        rig.handle(value or rig.task().dump(), replayed(1))
        assert rig.types() == ["failed"]
        assert rig.worker.runs == 0


def test_replayed_task_is_processed_and_a_repeated_delivery_is_harmless(face: MemoryStage) -> None:
    fail(face)
    for _ in range(2):
        face.handle(face.task().dump(), replayed(1))
    assert face.types() == ["started", "finished", "finished"]
    assert {event.replays for event in events(face)} == {1}
    assert face.worker.runs == 1


def test_replay_that_fails_again_ends_the_job_again_once(face: MemoryStage) -> None:
    face.claim_request()
    first = fail(face)
    for _ in range(2):
        face.handle(b"{}", replayed(1))
    ends = [event for event in events(face) if isinstance(event, Failed)]
    assert ends[0] == ends[1] == stored_end(face)
    assert (ends[0].replays, first.replays) == (1, 0)
    assert ends[0].dead_letter is not None
    assert ends[0].dead_letter.id in ends[0].message
    assert face.producers.dead_letters()[0]["__dlq.errors.replay.count"] == b"1"
    assert face.producers.dead_letters()[0]["__dlq.errors.job"] == face.job.encode()


def test_replay_that_has_failed_is_not_processed_when_it_is_delivered_again(face: MemoryStage) -> None:
    fail(face, replays=1)
    face.handle(face.task().dump(), replayed(1))
    assert (face.types(), face.worker.runs) == (["failed"], 0)


def test_dead_letter_of_a_readable_task_names_job_tenant_and_department(tmp_path: Path) -> None:
    face = MemoryStage(FACE, tmp_path, max_attempts=1)
    face.worker.answer = lambda _: (_ for _ in ()).throw(RuntimeError("a bug"))
    face.handle(face.task(department="film").dump())
    letter = face.producers.dead_letters()[0]
    named = {name: letter[f"__dlq.errors.{name}"] for name in ("job", "tenant", "department")}
    assert named == {"job": face.job.encode(), "tenant": b"default", "department": b"film"}


def test_copy_of_a_request_without_an_id_has_the_ids_of_the_first_record(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    value = request_body()
    first = Record("render.requests", 5, 17, None, value, [], 1)
    copies = [
        replace(first, partition=0, offset=99, headers=[(ORIGIN, b"render.requests/5/17")]),
        replace(first, partition=1, offset=3, headers=[("LIPSTAGE-ORIGIN", b"render.requests/5/17")]),
    ]
    for record in (first, *copies):
        rig.processor.handle(record, rig.assignment, rig.worker)
    expected = request_id("render.requests", 5, 17, value)
    assert {(e.job_id, e.request_id) for e in events(rig)} == {(expected, expected)}
    assert {task.job_id for task in rig.producers.tasks("render.face")} == {expected}
    traces = {trace_context.of_request(record, trusted=False).root_id for record in (first, *copies)}
    assert len(traces) == 1
    other = replace(first, partition=0, offset=99)
    assert trace_context.of_request(other, trusted=False).root_id not in traces


def test_replay_of_an_untrusted_request_has_a_trace_of_its_own(tmp_path: Path) -> None:
    first = Record("render.requests", 5, 17, b"job", request_body(), [], 1)
    again = replace(first, headers=replayed(1, "render.requests/5/17"))
    assert (
        trace_context.of_request(first, trusted=False).root_id != trace_context.of_request(again, trusted=False).root_id
    )


@pytest.mark.parametrize("origin", [b"", b"render.requests", b"a/b/c", b"render.requests/1", b"\xff", None])
def test_malformed_origin_counts_as_none(tmp_path: Path, origin: bytes | None) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    value = request_body()
    record = Record("render.requests", 5, 17, None, value, [(ORIGIN, origin)], 1)
    rig.processor.handle(record, rig.assignment, rig.worker)
    assert events(rig)[0].job_id == request_id("render.requests", 5, 17, value)


def test_owner_is_stored_with_the_request(tmp_path: Path) -> None:
    for owner in ("ann@example.org", None):
        rig = MemoryStage(FRONT, tmp_path)
        rig.handle(request_body(owner=owner))
        record = markers.read_request(rig.store.documents, "default", rig.job)
        assert record is not None
        assert record.owner == (owner or "")
