"""Drifts and quality of a finished job, in its done event and on the summary span."""

import pytest

from shared.messages import outcome
from shared.messages.metadata import AudioMetadata, EncodeMetadata
from shared.messages.refs import ArtifactRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput

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
