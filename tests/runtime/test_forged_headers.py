"""Headers of lipstage on ``render.requests``, where anyone may write them: they concern the sender's own job only."""

from pathlib import Path

import pytest

from shared.messages.delivery_headers import MAX_COUNT, read_delivery
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.topics import DAY_MS
from shared.runtime.breaker import CONSECUTIVE
from shared.runtime.consume.assignment import Record
from shared.slot import records
from shared.storage.errors import ArtifactAltered, StoreOutage, StoreUnavailable
from tests.runtime.memory import finished
from tests.runtime.memory_stage import AUDIO, FRONT, MemoryStage

NOW_MS = 1_800_000_000_000
MANY = b"999999999"
REQUEST = RenderRequest(portrait=InputRef(key="default/x"), speech=InputRef(key="default/x"))
VALUE = REQUEST.model_dump_json(exclude_none=True).encode()


@pytest.fixture
def front(tmp_path: Path) -> MemoryStage:
    stage = MemoryStage(FRONT, tmp_path)
    stage.worker.answer = finished(AUDIO.model_dump(mode="json"), speech=b"s")
    return stage


def send(stage: MemoryStage, job: str, *headers: tuple[str, bytes]) -> None:
    stage.job = job
    record = Record("render.requests", 0, len(job), job.encode(), VALUE, list(headers), NOW_MS)
    stage.processor.handle(record, stage.assignment, stage.worker)


@pytest.mark.parametrize("attempt", [b"6", MANY])
def test_forged_attempts_neither_end_the_job_nor_open_the_breaker(front: MemoryStage, attempt: bytes) -> None:
    for number in range(CONSECUTIVE):
        send(front, f"job-{number}", ("lipstage-attempt", attempt))
    assert front.producers.dead_letters() == []
    assert len(front.producers.tasks("render.face")) == CONSECUTIVE
    assert not front.breaker.is_open


def test_source_that_only_lipstage_names_makes_no_failure_of_the_stage(
    front: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(*_: object) -> None:
        raise ArtifactAltered("request.json")

    monkeypatch.setattr("shared.storage.markers.claim_request", altered)
    for number in range(CONSECUTIVE):
        send(front, f"job-{number}", ("ce_source", b"/lipstage"))
    assert not front.breaker.is_open


def test_forged_counts_can_still_be_counted(front: MemoryStage) -> None:
    def outage(_: records.Work) -> records.WorkResult:
        raise StoreOutage("503")

    front.worker.answer = outage
    send(front, "job", ("lipstage-attempt", MANY), ("lipstage-retries", MANY), ("lipstage-replay-count", MANY))
    ((topic, _, headers),) = front.producers.retries()
    delivery = read_delivery(headers)
    assert topic == "render.retry.10m"
    assert (delivery.attempt, delivery.retries, delivery.replays) == (5, MAX_COUNT, MAX_COUNT)


@pytest.mark.parametrize(
    ("origin_ms", "submitted_ms"),
    [
        (100_000_000_000, NOW_MS),
        (NOW_MS - 91 * DAY_MS, NOW_MS),
        (NOW_MS - 7 * DAY_MS, NOW_MS - 7 * DAY_MS),
        (NOW_MS + 1, NOW_MS),
    ],
)
def test_request_is_not_older_than_any_retry_can_be(front: MemoryStage, origin_ms: int, submitted_ms: int) -> None:
    send(front, "job", ("lipstage-origin-time", str(origin_ms).encode()))
    (task,) = front.producers.tasks("render.face")
    assert task.submitted_ms == submitted_ms


def test_last_attempt_of_a_request_fails_for_its_real_reason(front: MemoryStage) -> None:
    def unavailable(_: records.Work) -> records.WorkResult:
        raise StoreUnavailable("503")

    front.worker.answer = unavailable
    send(front, "job", ("lipstage-attempt", MANY))
    (dead_letter,) = front.producers.dead_letters()
    assert dead_letter["__dlq.errors.code"] == b"STORE_UNAVAILABLE"
    assert dead_letter["__dlq.errors.delivery.count"] == b"5"


@pytest.mark.parametrize(
    "value",
    [b"department=hr,owner=bob", b"department=" + b"x" * 10_000, "department=\u00e4".encode(), b"\xff\xfe", b""],
)
def test_baggage_of_a_sender_concerns_nothing(front: MemoryStage, value: bytes) -> None:
    """Neither the task, nor its headers, nor an event: department and tenant are those of the request."""
    send(front, "job", ("baggage", value), ("Baggage", b"tenant=other"))
    (task,) = front.producers.tasks("render.face")
    assert (task.request.department, task.request.tenant) == (None, "default")
    for _, body, headers in front.producers.records:
        assert b"bob" not in (body or b"")
        assert "baggage" not in {name.lower() for name, _ in headers}
