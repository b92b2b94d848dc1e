"""What a job's end says of it: drifts and quality in its done event, and the attributes of its summary span."""

from pathlib import Path
from typing import Any

import pytest

from shared.messages import outcome
from shared.messages.codes import Code
from shared.messages.events import Failed
from shared.messages.metadata import AudioMetadata, EncodeMetadata
from shared.messages.refs import ArtifactRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.telemetry.attributes import SPAN_ATTRIBUTES, Use

REF = ArtifactRef(bucket="artifacts", key="default/v.mp4", sha256="0" * 64, size=1)


def task(**values: float | None) -> RenderTask:
    request = RenderRequest.model_validate({"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}})
    audio = AudioMetadata(codec="flac", sample_rate=16_000, channels=1, duration_s=2.0, sound_channels=1)
    encode = EncodeMetadata.model_validate(
        {"duration_s": 2.0, "width": 8, "height": 8, "fps": 25, "frames": 50, "bytes": 1, **values}
    )
    outputs = {
        name: StageOutput(attempt="1", metadata=metadata.model_dump(mode="json"))
        for name, metadata in (("audio", audio), ("encode", encode))
    }
    return RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0, outputs=outputs)


@pytest.mark.parametrize(
    ("container", "lips", "drift"),
    [(10.4, None, 10), (-10.6, None, 11), (10.4, -80.6, 81), (-120.0, 30.0, 120), (0.0, 0.0, 0)],
)
def test_audio_drift_is_the_larger_measured_drift(container: float, lips: float | None, drift: int) -> None:
    completed = task(container_drift_ms=container, lip_offset_ms=lips, quality=0.5)
    done = outcome.done(
        completed, {"video": REF, "poster": REF}, stage="encode", now_ms=1, attempt=1, trace_id=None, sampled=True
    )
    assert (done.container_drift_ms, done.lip_offset_ms, done.audio_drift_ms) == (container, lips, drift)
    attributes = outcome.summary_attributes(done, completed)
    assert attributes["audio.drift_ms"] == drift and isinstance(attributes["audio.drift_ms"], int)
    assert attributes.get("lip.offset_ms") == lips
    assert (done.quality, attributes["render.quality"]) == (0.5, 0.5)


def test_values_that_were_not_measured_are_absent() -> None:
    completed = task(container_drift_ms=3.0)
    done = outcome.done(
        completed, {"video": REF, "poster": REF}, stage="encode", now_ms=1, attempt=1, trace_id=None, sampled=True
    )
    attributes = outcome.summary_attributes(done, completed)
    assert "lip.offset_ms" not in attributes and "render.quality" not in attributes
    assert {"lip_offset_ms", "quality"} & set(done.model_dump(exclude_none=True)) == set()


def failed(**fields: Any) -> Failed:
    base = {"job_id": "j", "tenant": "acme", "request_id": "r", "time_ms": 1_795_478_500_000, "message": "m"}
    return Failed.model_validate({**base, "stage": "encode", "code": Code.INTERNAL, **fields})


def sample(name: str) -> RenderTask:
    return RenderTask.parse((Path(__file__).parent / "samples" / name).read_bytes())


def test_task_of_an_earlier_version_is_summarised() -> None:
    attributes = outcome.summary_attributes(failed(attempt=2), sample("task-encode.json"), 7)
    assert (attributes["attempts"], attributes["queue.wait_ms"], attributes["cpu.seconds"]) == (4, 7, 0.0)


def test_attempts_waits_and_seconds_are_those_of_all_stages() -> None:
    attributes = outcome.summary_attributes(failed(attempt=5), sample("task-encode-measured.json"), 100)
    assert (attributes["attempts"], attributes["queue.wait_ms"]) == (1 + 2 + 5, 12 + 13 + 100)
    assert attributes["cpu.seconds"] == 1.5 + 2.5


def test_ended_stage_is_counted_once() -> None:
    """A redelivery finds the output of the stage that ended the job."""
    attributes = outcome.summary_attributes(failed(stage="infer", attempt=3), sample("task-encode-measured.json"), 100)
    assert (attributes["attempts"], attributes["queue.wait_ms"]) == (1 + 3, 12 + 13)


@pytest.mark.parametrize(
    ("code", "expected", "is_error"),
    [
        (Code.INTERNAL, "failed", True),
        (Code.CRASH_LOOP, "failed", True),
        (Code.EXPIRED, "expired", True),
        (Code.CANCELLED, "cancelled", False),
    ],
)
def test_error_type_is_of_failed_and_expired_renders(code: Code, expected: str, is_error: bool) -> None:
    attributes = outcome.summary_attributes(failed(code=code), None)
    assert attributes["outcome"] == expected
    assert attributes["error.type"] == (code.value if is_error else None)


def test_every_summarised_attribute_is_registered_as_queried() -> None:
    done = outcome.done(
        task(container_drift_ms=3.0),
        {"video": REF, "poster": REF},
        stage="encode",
        now_ms=1,
        attempt=1,
        trace_id=None,
        sampled=True,
    )
    for attributes in (
        outcome.summary_attributes(failed(), sample("task-encode-measured.json")),
        outcome.summary_attributes(done, task(container_drift_ms=3.0)),
    ):
        assert {SPAN_ATTRIBUTES[key].use for key in attributes} == {Use.QUERIED}
