"""Attempts, retries and their headers, without a broker: who makes the next attempt, when, and under which number."""

from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.delivery_headers import read_delivery
from shared.messages.events import Retrying
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.runtime.failures import RecordRefused, TopicMissing, WorkerDied
from shared.runtime.settle.event_publisher import EventPublisher
from shared.slot import records
from shared.storage import markers
from shared.storage.errors import StoreOutage, StoreUnavailable
from tests.runtime.memory import finished
from tests.runtime.memory_stage import ENCODE, ENCODED, FACE, FRONT, MemoryStage, last_task

BUG = records.HandlerFailed(exception="KeyError", message="'secret'", stack="line 7")
ODD_HEADERS: list[tuple[str, bytes | None]] = [
    ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ("x", b"\xff\x00"),
    ("x", None),
    ("TraceParent", b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01"),
    ("x", b""),
]


def started(stage: MemoryStage) -> list[int]:
    return [event.attempt for event in stage.producers.events() if event.type == "started"]


def unavailable(_: records.Work) -> records.WorkResult:
    raise StoreUnavailable("reading an artifact: 503")


def outage(_: records.Work) -> records.WorkResult:
    raise StoreOutage("reading an artifact: 503")


def test_unknown_exception_is_repeated_once_at_once_then_by_tiers_then_a_dead_letter(face: MemoryStage) -> None:
    face.worker.answer = lambda _: BUG
    face.handle(face.task().dump())
    assert started(face) == [1, 2]
    assert face.producers.dead_letters() == []
    assert face.deliver_again() == ["render.retry.10s", "render.retry.1m", "render.retry.10m"]
    assert started(face) == [1, 2, 3, 4, 5]
    (dead_letter,) = face.producers.dead_letters()
    assert dead_letter["__dlq.errors.class"] == b"failed"
    assert (face.end().code, face.end().attempt) == (Code.INTERNAL, 5)


def test_attempt_that_succeeds_at_once_leaves_no_trace_of_a_failure(face: MemoryStage) -> None:
    face.worker.answer = lambda work: BUG if face.worker.runs == 1 else finished()(work)
    face.handle(face.task().dump())
    assert started(face) == [1, 2]
    assert face.producers.retries() == []
    assert len(face.producers.tasks("render.infer.puppet")) == 1


def test_slow_failure_waits_by_tiers_and_the_last_tier_repeats(tmp_path: Path) -> None:
    stage = MemoryStage(FACE, tmp_path, retry_tiers=("1s", "2s"))
    stage.worker.answer = unavailable
    stage.handle(stage.task().dump())
    assert stage.deliver_again() == ["render.retry.1s"] + ["render.retry.2s"] * 3
    assert started(stage) == [1, 2, 3, 4, 5]
    assert stage.end().code == Code.STORE_UNAVAILABLE


def test_outage_of_the_whole_store_uses_no_attempt(face: MemoryStage) -> None:
    face.worker.answer = outage
    face.handle(face.task().dump())
    for tier in ("10s", "1m", "10m", "10m", "10m", "10m"):
        ((topic, value, headers),) = face.producers.retries()
        assert topic == f"render.retry.{tier}"
        assert read_delivery(headers).attempt == 1
        face.producers.records.clear()
        face.handle(value or b"", list(headers))
    assert face.producers.dead_letters() == []


def test_rejection_is_never_repeated(face: MemoryStage) -> None:
    face.worker.answer = lambda _: records.Refused(code=Code.NO_FACE, message="no face")
    face.handle(face.task().dump())
    assert (face.worker.runs, face.end().type, face.producers.retries()) == (1, "rejected", [])


def test_memory_of_the_accelerator_that_others_use_is_waited_for(face: MemoryStage) -> None:
    face.worker.answer = lambda _: records.HandlerFailed(exception="OutOfMemoryError", message="2 GiB", stack="")
    face.handle(face.task().dump())
    assert face.worker.runs == 1
    (event,) = [event for event in face.producers.events() if isinstance(event, Retrying)]
    assert event.code == Code.OUT_OF_MEMORY


def test_event_names_the_next_attempt_and_no_text_of_an_exception(face: MemoryStage) -> None:
    face.worker.answer = lambda _: BUG
    face.handle(face.task().dump())
    (event,) = [event for event in face.producers.events() if isinstance(event, Retrying)]
    assert (event.stage, event.attempt, event.next_attempt, event.tier) == ("face", 2, 3, "10s")
    assert event.due_ms == 10_000, "the broker's time of the record, 0 here, plus the tier"
    assert event.message == "The face stage failed: KeyError in the code of the stage. It tries again in 10s."


def test_record_is_on_the_retry_topic_before_the_event_says_so(face: MemoryStage) -> None:
    face.worker.answer = unavailable
    face.handle(face.task().dump())
    sent = face.journal.index(("delivered", "render.retry.10s"))
    assert face.journal[sent + 1] == ("sent", "render.events")


def test_retry_keeps_the_record_and_replaces_its_own_headers(face: MemoryStage) -> None:
    face.worker.answer = unavailable
    value = face.task().dump()
    face.handle(value, ODD_HEADERS)
    ((_, sent, headers),) = face.producers.retries()
    assert sent == value
    assert list(headers[:3]) == [ODD_HEADERS[1], ODD_HEADERS[2], ODD_HEADERS[4]]
    assert [name.lower() for name, _ in headers].count("traceparent") == 1
    delivery = read_delivery(headers)
    assert (delivery.attempt, delivery.retries, str(delivery.origin)) == (2, 1, "t/0/7")
    assert (delivery.retry_topic, delivery.retry_code, delivery.origin_ms) == ("t", "STORE_UNAVAILABLE", None)
    face.producers.records.clear()
    face.handle(value, headers, offset=99)
    ((_, _, again),) = face.producers.retries()
    assert [name for name, _ in again].sort() == [name for name, _ in headers].sort()
    assert len(again) == len(headers)
    assert read_delivery(again).origin == delivery.origin, "of the first record, not of the repeated one"


def test_first_attempt_has_the_headers_that_a_retry_changes(face: MemoryStage) -> None:
    face.handle(face.task().dump())
    ((_, _, headers),) = [record for record in face.producers.records if record[0] == "render.infer.puppet"]
    first = {name for name, _ in headers}
    face.worker.answer = unavailable
    face.job = "another"
    face.handle(face.task().dump(), [*headers, ("traceparent", ODD_HEADERS[0][1])])
    ((_, _, retried),) = face.producers.retries()
    on_retry_topics_only = {"lipstage-retry-topic", "lipstage-retry-code"}
    assert {name for name, _ in retried} == first | {"traceparent"} | on_retry_topics_only
    assert len(retried) == len(headers) + 1 + len(on_retry_topics_only)


def test_replays_are_copied_to_the_next_task_and_kept_by_a_retry(face: MemoryStage) -> None:
    replayed: list[tuple[str, bytes | None]] = [("lipstage-replay-count", b"2")]
    face.handle(face.task().dump(), replayed)
    ((_, _, headers),) = [record for record in face.producers.records if record[0] == "render.infer.puppet"]
    assert read_delivery(headers).replays == 2
    face.worker.answer = unavailable
    face.job = "another"
    face.handle(face.task().dump(), replayed)
    ((_, _, headers),) = face.producers.retries()
    assert read_delivery(headers).replays == 2


def test_record_that_the_retry_topic_never_accepts_is_a_dead_letter(face: MemoryStage) -> None:
    face.worker.answer = unavailable
    face.producers.errors["render.retry.10s"] = RecordRefused("MSG_SIZE_TOO_LARGE")
    face.handle(face.task().dump())
    assert face.end().code == Code.STORE_UNAVAILABLE
    assert b"the retry topic refuses the record" in (face.producers.dead_letters()[0]["__dlq.errors.message"] or b"")


def test_missing_retry_topic_ends_the_service(face: MemoryStage) -> None:
    face.worker.answer = unavailable
    face.producers.errors["render.retry.10s"] = TopicMissing("UNKNOWN_TOPIC_OR_PART")
    with pytest.raises(TopicMissing):
        face.handle(face.task().dump())
    assert face.producers.dead_letters() == []


# Crashes.


def die(stage: MemoryStage) -> Any:
    def answer(_: records.Work) -> records.WorkResult:
        stage.worker.pid = None
        raise WorkerDied("killed")

    return answer


def test_every_death_of_the_worker_is_counted_before_the_next_attempt(face: MemoryStage) -> None:
    counted: list[tuple[int, int]] = []
    face.assignment.count_crash = lambda offset: counted.append((offset, face.worker.runs))
    face.worker.answer = die(face)
    face.handle(face.task().dump())
    assert counted == [(7, 1), (7, 2), (7, 3)]


@pytest.mark.parametrize("crashes", [1, 2])
def test_deaths_of_earlier_deliveries_count(face: MemoryStage, crashes: int) -> None:
    face.worker.answer = die(face)
    face.handle(face.task().dump(), crashes=crashes)
    assert started(face) == list(range(crashes + 1, 4))
    assert face.end().code == Code.CRASH_LOOP


@pytest.mark.parametrize("value", ["task", "unreadable"])
@pytest.mark.parametrize("crashes", [3, 4])
def test_record_that_killed_its_services_is_not_run_again(face: MemoryStage, crashes: int, value: str) -> None:
    face.handle(face.task().dump() if value == "task" else b"\xff", crashes=crashes)
    assert face.worker.runs == 0
    (dead_letter,) = face.producers.dead_letters()
    expected = b"POISON" if (value, crashes) == ("unreadable", 3) else b"CRASH_LOOP"
    assert dead_letter["__dlq.errors.code"] == expected


def test_record_that_kills_its_service_while_it_is_read_is_not_read_again(
    face: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fatal(*_: object) -> None:
        raise AssertionError("the service died")

    monkeypatch.setattr("shared.runtime.process.decoding.TaskDecoder.decode", fatal)
    monkeypatch.setattr("shared.runtime.process.decoding.TaskDecoder.trace", fatal)
    face.handle(face.task().dump(), crashes=4)
    assert face.producers.dead_letters()[0]["__dlq.errors.code"] == b"CRASH_LOOP"


def test_total_of_attempts_bounds_deaths_too(face: MemoryStage) -> None:
    face.worker.answer = die(face)
    face.handle(face.task().dump(), [("lipstage-attempt", b"4")])
    assert started(face) == [4, 5]
    assert face.end().code == Code.CRASH_LOOP


def test_record_for_more_attempts_than_there_are_gets_the_last_one(face: MemoryStage) -> None:
    face.worker.answer = unavailable
    face.handle(face.task().dump(), [("lipstage-attempt", b"6")])
    assert started(face) == [5]
    assert (face.producers.retries(), face.end().code) == ([], Code.STORE_UNAVAILABLE)


# Settlement.


def test_end_that_cannot_be_stored_is_settled_by_a_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt of the last stage finds the marker, and does no work."""
    stage = MemoryStage(ENCODE, tmp_path)
    stage.worker.answer = finished(ENCODED.model_dump(mode="json"), video=b"v", poster=b"p")
    claim_end, errors = markers.claim_end, iter([StoreUnavailable("end.json")])

    def broken(*arguments: Any) -> Any:
        for error in errors:
            raise error
        return claim_end(*arguments)

    monkeypatch.setattr(markers, "claim_end", broken)
    stage.handle(last_task(stage))
    assert "done" not in stage.types()
    assert stage.deliver_again() == ["render.retry.10s"]
    assert (stage.end().type, stage.worker.runs) == ("done", 1)


def test_end_of_a_dead_letter_that_cannot_be_stored_is_published(
    last: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StoreUnavailable("end.json")

    monkeypatch.setattr(markers, "claim_end", broken)
    last.worker.answer = lambda _: BUG
    last.handle(last.task().dump())
    assert (last.end().code, len(last.producers.dead_letters())) == (Code.INTERNAL, 1)


def broken(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def test_retry_is_sent_once_when_its_event_can_not_be_published(
    face: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventPublisher, "retrying", broken)
    face.worker.answer = unavailable
    face.handle(face.task().dump())
    assert (len(face.producers.retries()), face.producers.dead_letters()) == (1, [])


def test_bug_in_the_retry_itself_is_a_dead_letter(face: MemoryStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.settle.settlement.send_retry", broken)
    face.worker.answer = unavailable
    face.handle(face.task().dump())
    assert (len(face.producers.dead_letters()), face.end().code) == (1, Code.INTERNAL)


def test_retried_request_keeps_its_job(tmp_path: Path) -> None:
    front = MemoryStage(FRONT, tmp_path)
    front.worker.answer = unavailable
    ref = InputRef(key="default/x")
    front.handle(RenderRequest(portrait=ref, speech=ref).model_dump_json(exclude_none=True).encode())
    front.worker.answer = finished()
    assert front.deliver_again() == ["render.retry.10s"]
    assert front.types() == ["accepted", "started", "retrying", "accepted", "started", "finished"]
    assert len(front.producers.tasks("render.face")) == 1


def test_dead_letter_of_a_record_that_gets_no_further_attempt_names_the_attempts_that_were_made(
    face: MemoryStage,
) -> None:
    face.handle(face.task().dump(), crashes=3)
    (dead_letter,) = face.producers.dead_letters()
    assert (dead_letter["__dlq.errors.delivery.count"], face.end().attempt, face.worker.runs) == (b"3", 3, 0)
