"""Requests at the front, without broker or object store: accepted, conflicting, ended before, rejected."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.events import EVENT, Accepted, Done
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.runtime.consume.assignment import Record
from shared.storage import markers
from tests.runtime.memory_stage import FRONT, MemoryStage

DONE = Path(__file__).resolve().parents[1] / "messages" / "samples" / "event-done.json"


def request_body(**fields: Any) -> bytes:
    ref = InputRef(key="default/x")
    return RenderRequest(portrait=ref, speech=ref, **fields).model_dump_json(exclude_none=True).encode()


def test_request_is_accepted_and_becomes_a_task(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body())
    assert rig.types() == ["accepted", "started", "finished"]
    assert rig.producers.tasks("render.face")[0].job_id == rig.job


def test_other_request_under_the_same_id_is_a_conflict_that_ends_nothing(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body())
    rig.handle(request_body(labels={"other": "body"}))
    assert rig.types()[-1] == "conflict"
    assert len(rig.producers.tasks("render.face")) == 1


def test_request_of_an_ended_job_repeats_its_end(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.cancelled.add(rig.job)
    rig.handle(request_body())
    rig.handle(request_body())
    assert rig.types() == ["failed", "failed"]


def test_repeated_end_keeps_the_source_of_the_stage_that_ended_the_job(tmp_path: Path) -> None:
    """The repeated event has the same `ce_id`; CloudEvents identifies an event by source and id."""
    rig = MemoryStage(FRONT, tmp_path)
    first = markers.RequestRecord(request_id="r", body_sha256=sha256(request_body()).hexdigest())
    markers.claim_request(rig.store.documents, "default", rig.job, first)
    done = EVENT.validate_json(DONE.read_bytes())
    assert isinstance(done, Done)
    markers.claim_end(rig.store.documents, "default", rig.job, done.model_copy(update={"job_id": rig.job}))
    rig.handle(request_body())
    topic, _, headers = rig.producers.records[-1]
    assert (topic, rig.types()[-1]) == ("render.events", "done")
    assert dict(headers)["ce_source"] == b"/lipstage/encode"


def test_request_of_a_purged_job_repeats_its_end_and_is_not_rendered_again(tmp_path: Path) -> None:
    """As `shared.client.purge` leaves it: the stored request without inputs, the end without data of the user."""
    rig = MemoryStage(FRONT, tmp_path)
    rig.cancelled.add(rig.job)
    rig.handle(request_body())
    rig.cancelled.clear()
    documents = rig.store.documents
    record, end = (read(documents, "default", rig.job) for read in (markers.read_request, markers.read_end))
    assert record is not None
    assert end is not None
    purged = record.model_copy(update={"inputs": (), "purged_ms": 1})
    markers.record_purge(documents, "default", rig.job, purged, end.model_copy(update={"labels": {}}))
    rig.handle(request_body())
    assert rig.types() == ["failed", "failed"]
    assert rig.producers.tasks("render.face") == []


def test_inputs_of_a_request_with_another_key_are_kept_for_its_purge(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body(job_id="another"))
    assert rig.end().code == Code.KEY_MISMATCH
    stored = markers.read_request(rig.store.documents, "default", rig.end().job_id)
    assert stored is not None
    assert len(stored.inputs) == 2


@pytest.mark.parametrize(
    ("flags", "trusted", "sampled"), [("01", True, True), ("00", True, False), ("00", False, True)]
)
def test_events_say_whether_the_trace_is_sampled(tmp_path: Path, flags: str, trusted: bool, sampled: bool) -> None:
    rig = MemoryStage(FRONT, tmp_path, trust_trace_context=trusted)
    rig.handle(request_body(), [("traceparent", f"00-{'a' * 32}-{'b' * 16}-{flags}".encode())])
    assert {event.sampled for event in rig.producers.events()} == {sampled}


def test_invalid_request_is_rejected_and_no_dead_letter(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(b"{}")
    assert rig.end().type == "rejected"
    assert rig.producers.dead_letters() == []


def test_request_without_consent_is_rejected_where_the_policy_requires_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_TENANT_POLICIES", '{"default": {"consent": "required"}}')
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body())
    assert (rig.end().code, rig.end().field) == (Code.CONSENT_REQUIRED, "consent")
    assert rig.producers.dead_letters() == []


def test_consent_is_in_the_events_for_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_CONSENT", "required")
    rig = MemoryStage(FRONT, tmp_path)
    rig.handle(request_body(consent="form:17"))
    accepted = rig.producers.events()[0]
    assert isinstance(accepted, Accepted)
    assert accepted.consent == "form:17"
    assert rig.producers.tasks("render.face")[0].request.consent == "form:17"


ORIGIN_MS = 1_700_000_000_000


def retried(rig: MemoryStage, body: bytes) -> None:
    """A request that the relay has sent back half an hour after it was submitted."""
    headers: list[tuple[str, bytes | None]] = [
        ("lipstage-attempt", b"2"),
        ("lipstage-origin-time", str(ORIGIN_MS).encode()),
    ]
    record = Record("t", 0, 7, rig.job.encode(), body, headers, ORIGIN_MS + 1_800_000)
    rig.processor.handle(record, rig.assignment, rig.worker)


def test_retried_request_is_accepted_with_the_time_of_its_submission(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    retried(rig, request_body())
    accepted = rig.producers.events()[0]
    assert isinstance(accepted, Accepted)
    assert accepted.submitted_ms == ORIGIN_MS
    assert rig.producers.tasks("render.face")[0].submitted_ms == ORIGIN_MS


def test_retried_request_that_is_refused_ends_with_the_time_of_its_submission(tmp_path: Path) -> None:
    rig = MemoryStage(FRONT, tmp_path)
    retried(rig, request_body(engine="sonic"))
    assert (rig.end().type, rig.end().submitted_ms) == ("rejected", ORIGIN_MS)
