"""The first and the last event of a job hold what the audit needs, and the owner only as a hash."""

import pytest

from shared.messages.codes import Code
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.disposition import JobContext, Rejected
from shared.runtime.settle.event_publisher import EventPublisher
from shared.telemetry import pseudonyms
from tests.runtime.memory import Journal, MemoryDocuments, MemoryProducers

OWNER = "ann@example.org"


def job(**fields: object) -> JobContext:
    files = {"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}}
    request = RenderRequest.model_validate(files | fields)
    return JobContext.of(RenderTask(job_id="j", request_id="r", request=request, submitted_ms=1_234))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pseudonyms.VARIABLE, "k1:0123456789abcdef")


def published(of: JobContext) -> list[dict[str, object]]:
    producers = MemoryProducers(Journal())
    events = EventPublisher("audio", "", producers, MemoryDocuments(Journal()))
    with events.of_one_record():
        events.accepted(of, "puppet")
        events.started(of)
        events.rejected(of, Rejected(error_code=Code.NO_FACE, message="m"))
    return [event.model_dump(exclude_none=True) for event in producers.events()]


def test_accepted_and_terminal_event_are_accounted() -> None:
    accepted, started, rejected = published(job(department="sales", owner=OWNER, consent="form:17"))
    owner_hash = pseudonyms.pseudonym(OWNER)
    wanted = {"submitted_ms": 1_234, "department": "sales", "owner_hash": owner_hash, "consent": "form:17"}
    assert accepted.items() >= wanted.items() and rejected.items() >= wanted.items()
    assert not started.keys() & wanted.keys()
    assert OWNER not in str((accepted, started, rejected))


def test_job_without_department_and_owner_has_neither() -> None:
    accepted, _, rejected = published(job())
    assert accepted["submitted_ms"] == rejected["submitted_ms"] == 1_234
    assert not {"department", "owner_hash", "consent"} & (accepted.keys() | rejected.keys())


def test_job_whose_record_could_not_be_read_ends_without_them() -> None:
    accepted, _, rejected = published(JobContext("j", "default", "r"))
    assert "submitted_ms" not in accepted and "submitted_ms" not in rejected
