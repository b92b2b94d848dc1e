"""Tenants over a quota: what is rejected where, what counts once, and what gives a place back. In memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.messages.codes import Code
from shared.messages.delivery_headers import ORIGIN, REPLAY_COUNT
from shared.messages.events import Failed, RejectedEvent
from shared.messages.metadata import FaceMetadata
from shared.messages.quotas import InvalidQuotas, Quotas, read_quotas
from shared.messages.task import StageOutput
from shared.runtime.host.settings_check import named_faults
from shared.runtime.process import quotas
from shared.runtime.process.quota_file import QuotaFile
from shared.slot import records
from shared.storage import keys, markers, usage
from tests.runtime.memory import MemoryDocuments, finished
from tests.runtime.memory_stage import AUDIO, ENCODE, ENCODED, FACE, FRONT, MemoryStage, last_task
from tests.runtime.test_front import request_body

HOUR_MS = 3_600_000
FRAMED = FaceMetadata(width=512, height=512, box=(0, 0, 1, 1), face_count=1, roi_size=1, score=1.0, yaw=0.0)
PIXELS = 25 * 512 * 512
"""Of one second of video."""


def file(folder: Path, **default: Any) -> Path:
    path = folder / "quotas.json"
    path.write_text(json.dumps({"default": default}))
    return path


def front(folder: Path, **quota: Any) -> MemoryStage:
    rig = MemoryStage(FRONT, folder, quotas_file=file(folder, **quota))
    rig.worker.answer = finished(AUDIO.model_dump(mode="json"))
    return rig


def send(rig: MemoryStage, job: str) -> str:
    """Send a request; the type of its job's last event."""
    rig.job = job
    rig.handle(request_body())
    return rig.producers.events()[-1].type


def rejection(rig: MemoryStage) -> RejectedEvent:
    event = rig.producers.events()[-1]
    assert isinstance(event, RejectedEvent)
    return event


def in_flight(rig: MemoryStage) -> list[str]:
    return [job for job, _ in usage.jobs_in_flight(rig.store.documents, "default").jobs]


def test_job_over_the_places_in_flight_is_rejected_before_any_work(tmp_path: Path) -> None:
    rig = front(tmp_path, jobs_in_flight=2)
    assert [send(rig, job) for job in ("a", "b", "c")] == ["finished", "finished", "rejected"]
    event = rejection(rig)
    assert (event.code, event.field, event.allowed) == (Code.QUOTA_EXCEEDED, "tenant", "jobs_in_flight: at most 2")
    assert "2 of 2 jobs in flight" in event.message
    assert event.retry_at_ms is not None
    assert (rig.worker.runs, in_flight(rig)) == (2, ["a", "b"])


def test_request_that_is_delivered_again_keeps_its_place(tmp_path: Path) -> None:
    rig = front(tmp_path, jobs_in_flight=1)
    assert [send(rig, "a"), send(rig, "a")] == ["finished", "finished"]
    assert in_flight(rig) == ["a"]


def test_attempt_that_is_made_again_is_charged_once(tmp_path: Path) -> None:
    rig = front(tmp_path, jobs_in_flight=1, speech_s_per_hour=1.5)
    done = finished(AUDIO.model_dump(mode="json"))

    def fails_first(work: records.Work) -> records.WorkResult:
        if rig.worker.runs <= 1:
            return records.HandlerFailed(exception="ValueError", message="m", stack="")
        return done(work)

    rig.worker.answer = fails_first
    rig.job = "a"
    rig.handle(request_body())
    rig.deliver_again()
    assert rig.types()[-1] == "finished"
    used = [document for key, document in rig.store.documents.values.items() if key.startswith("quotas/default/1970")]
    assert usage.HourUsage.model_validate(used[0]).of("speech_s_per_hour").total == AUDIO.duration_s


def replayed(rig: MemoryStage, headers: Any = ((REPLAY_COUNT, b"1"),)) -> str:
    """The type of the last event after a request with these headers for the job of the rig."""
    rig.handle(request_body(), list(headers), offset=8)
    return rig.producers.events()[-1].type


def test_replay_of_an_admitted_job_is_counted_and_never_rejected(tmp_path: Path) -> None:
    rig = front(tmp_path, jobs_in_flight=1, speech_s_per_hour=1)
    rig.worker.answer = lambda _: records.HandlerFailed(exception="ValueError", message="m", stack="")
    rig.job = "a"
    rig.handle(request_body())
    rig.deliver_again()
    assert (rig.types()[-1], in_flight(rig)) == ("failed", [])
    rig.worker.answer = finished(AUDIO.model_dump(mode="json"))
    assert send(rig, "b") == "finished", "the tenant is at both limits"
    rig.job = "a"
    assert (replayed(rig), in_flight(rig)) == ("finished", ["b", "a"])
    used = usage.hour_usage(rig.store.documents, "default", "1970-01-01T00")
    assert used.of("speech_s_per_hour").total == 2 * AUDIO.duration_s


def test_pixels_of_a_replayed_job_are_charged_over_the_limit(tmp_path: Path) -> None:
    rig = MemoryStage(FACE, tmp_path, quotas_file=file(tmp_path, pixels_per_hour=PIXELS // 2))
    rig.worker.answer = finished(FRAMED.model_dump(mode="json"))
    rig.claim_request()
    end = Failed(job_id=rig.job, tenant="default", request_id="r", time_ms=1, attempt=1, stage="face",
                 code=Code.INTERNAL, message="m")  # fmt: skip
    markers.claim_end(rig.store.documents, "default", rig.job, end)
    output = StageOutput(attempt="1", metadata=AUDIO.model_dump(mode="json"))
    rig.handle(rig.task().with_output("audio", output).dump(), [(REPLAY_COUNT, b"1")])
    assert len(rig.producers.tasks("render.infer.puppet")) == 1


def test_header_of_a_replay_alone_exempts_no_request(tmp_path: Path) -> None:
    rig = front(tmp_path, speech_s_per_hour=1)
    assert send(rig, "a") == "finished"
    rig.job = "b"
    assert replayed(rig, [(REPLAY_COUNT, b"1"), (ORIGIN, b"render.requests/0/1")]) == "rejected"


def test_retry_of_an_admitted_request_is_not_rejected_when_the_hour_is_used_up(tmp_path: Path) -> None:
    rig = front(tmp_path, speech_s_per_hour=2)
    done = finished(AUDIO.model_dump(mode="json"))
    rig.worker.answer = lambda _: records.HandlerFailed(exception="ValueError", message="m", stack="")
    rig.job = "a"
    rig.handle(request_body())
    assert rig.types()[-1] == "retrying"
    rig.worker.answer = done
    runs = rig.worker.runs
    usage.charge(rig.store.documents, "default", "1970-01-01T00", "other", "speech_s_per_hour", 2, 2)
    rig.deliver_again()
    assert rig.worker.runs == runs + 1, "audio has looked how long its speech is"


@pytest.mark.parametrize("end", ["cancelled", "rejected", "done"])
def test_job_that_ends_gives_its_place_back(tmp_path: Path, end: str) -> None:
    rig = MemoryStage(ENCODE if end == "done" else FRONT, tmp_path, quotas_file=file(tmp_path, jobs_in_flight=1))
    usage.admit(rig.store.documents, "default", rig.job, 1, 0)
    if end == "done":
        rig.worker.answer = finished(ENCODED.model_dump(mode="json"), video=b"v", poster=b"p")
        rig.claim_request()
        rig.handle(last_task(rig))
    else:
        if end == "cancelled":
            rig.cancelled.add(rig.job)
        rig.worker.answer = lambda _: records.Refused(code=Code.AUDIO_EMPTY, message="m", field=None, allowed=None)
        rig.handle(request_body())
    assert rig.types()[-1] == {"cancelled": "failed"}.get(end, end)
    assert in_flight(rig) == []


def test_place_of_a_job_that_ended_elsewhere_is_found_when_the_tenant_is_full(tmp_path: Path) -> None:
    """As after a service was killed between the end and the release, or when a client ended the job."""
    rig = front(tmp_path, jobs_in_flight=1)
    rig.cancelled.add("a")
    send(rig, "a")
    rig.cancelled.clear()
    usage.admit(rig.store.documents, "default", "a", 1, 0)
    assert send(rig, "b") == "finished"
    assert in_flight(rig) == ["b"]


def test_ends_are_compared_at_intervals_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, read = front(tmp_path, jobs_in_flight=1), []
    monkeypatch.setattr(quotas.markers, "read_end", lambda *arguments: read.append(arguments))
    send(rig, "a")
    read.clear()
    assert [send(rig, job) for job in ("b", "c")] == ["rejected", "rejected"]
    assert [arguments[2] for arguments in read].count("a") == 1


def test_speech_over_the_hour_is_rejected_once_its_length_is_known(tmp_path: Path) -> None:
    rig = front(tmp_path, speech_s_per_hour=2.5)
    assert [send(rig, job) for job in ("a", "b", "c")] == ["finished", "finished", "rejected"]
    event = rejection(rig)
    assert event.message.startswith("The tenant default has used 2 of 2.5 seconds of speech this hour, and this job")
    assert event.retry_at_ms == HOUR_MS, "the records are of the first hour of 1970"
    assert rig.producers.tasks("render.face")[-1].job_id == "b"
    assert rig.store.artifacts.values == {}, "nothing of the rejected attempt stays"


def test_request_is_rejected_without_work_when_nothing_is_left_of_the_hour(tmp_path: Path) -> None:
    rig = front(tmp_path, speech_s_per_hour=1)
    assert [send(rig, job) for job in ("a", "b")] == ["finished", "rejected"]
    assert rig.worker.runs == 1


def test_job_that_never_fits_is_told_no_time_to_come_back(tmp_path: Path) -> None:
    rig = front(tmp_path, speech_s_per_hour=0.5)
    assert send(rig, "a") == "rejected"
    assert rejection(rig).retry_at_ms is None


def test_pixels_are_charged_by_face_before_infer(tmp_path: Path) -> None:
    rig = MemoryStage(FACE, tmp_path, quotas_file=file(tmp_path, pixels_per_hour=2 * PIXELS))
    rig.worker.answer = finished(FRAMED.model_dump(mode="json"))
    for job in ("a", "b", "c"):
        rig.job = job
        rig.claim_request()
        output = StageOutput(attempt="1", metadata=AUDIO.model_dump(mode="json"))
        rig.handle(rig.task().with_output("audio", output).dump())
    assert len(rig.producers.tasks("render.infer.puppet")) == 2
    assert rejection(rig).allowed == f"pixels_per_hour: at most {2 * PIXELS:g}"


def test_other_tenant_and_a_tenant_without_limit_are_not_concerned(tmp_path: Path) -> None:
    path = tmp_path / "quotas.json"
    path.write_text(json.dumps({"default": {"jobs_in_flight": 0}, "tenants": {"default": {"jobs_in_flight": None}}}))
    rig = MemoryStage(FRONT, tmp_path, quotas_file=path)
    rig.worker.answer = finished(AUDIO.model_dump(mode="json"))
    assert send(rig, "a") == "finished"
    assert [key for key in rig.store.documents.values if key.startswith(keys.QUOTAS)] == [], "nothing is counted"
    rig.job = "b"
    rig.handle(request_body(tenant="other").replace(b"default/x", b"other/x"))
    assert rejection(rig).retry_at_ms is None


def test_file_is_read_again_when_it_changes_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, jobs_in_flight=1)
    quotas_file = QuotaFile(path)
    assert quotas_file.quotas.of("a").jobs_in_flight == 1
    for text, expected in (
        ('{"default": {"jobs_in_flight": 22}}', 22),
        ('{"default": {"jobs_in_flight": "x"}}', 22),
        ('{"default": {"jobs_in_flight": 333}}', 333),
    ):
        path.write_text(text)
        assert quotas_file.quotas.of("a").jobs_in_flight == expected
    path.unlink()
    assert quotas_file.quotas.of("a").jobs_in_flight == 333


def test_entry_of_a_tenant_replaces_the_fields_that_it_names() -> None:
    text = '{"default": {"jobs_in_flight": 5, "speech_s_per_hour": 60}, "tenants": {"a": {"speech_s_per_hour": null}}}'
    both = Quotas.model_validate_json(text)
    assert (both.of("a").jobs_in_flight, both.of("a").speech_s_per_hour) == (5, None)
    assert both.of("b").speech_s_per_hour == 60


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"default": {"jobs_in_flight": 5001}}', "default.jobs_in_flight"),
        ('{"default": {"speech_s_per_hour": NaN}}', "default.speech_s_per_hour"),
        ('{"default": {"speech": 5}}', "speech"),
        ('{"tenants": {"UPPER": {}}}', "tenants"),
        ("[]", "JSON object"),
    ],
)
def test_wrong_file_is_refused_with_the_field(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "quotas.json"
    path.write_text(text)
    with pytest.raises(InvalidQuotas, match=named):
        read_quotas(path)


def test_service_does_not_start_with_a_file_that_it_cant_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, jobs_in_flight=-1)
    monkeypatch.setenv("LIPSTAGE_QUOTAS_FILE", str(path))
    (line,) = named_faults()
    assert line.startswith("LIPSTAGE_QUOTAS_FILE=")
    assert line.endswith(": default.jobs_in_flight must be a whole number, 0 to 5000; it is -1.")
    path.unlink()
    (line,) = named_faults()
    assert "No such file" in line
    file(tmp_path, jobs_in_flight=1)
    assert named_faults() == []


def test_release_of_a_place_does_not_fail_a_settled_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = front(tmp_path, jobs_in_flight=1)
    rig.cancelled.add("a")

    def unavailable(*_: object) -> None:
        raise usage.StoreUnavailable("away")

    monkeypatch.setattr(MemoryDocuments, "replace", unavailable)
    usage.admit(rig.store.documents, "default", "a", 1, 0)
    assert send(rig, "a") == "failed"
