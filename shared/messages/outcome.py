"""The result of a finished job: its ``done`` event, and the attributes of the ``render`` summary span."""

from collections.abc import Mapping

from shared.messages.events import Done
from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask


def seconds(task: RenderTask) -> dict[str, float]:
    """Wall time of the winning attempt of each stage, seconds."""
    return {stage: round(output.seconds, 3) for stage, output in task.outputs.items()}


def done(
    task: RenderTask,
    files: Mapping[str, ArtifactRef],
    *,
    stage: str,
    now_ms: int,
    attempt: int,
    trace_id: str | None,
    sampled: bool,
    replays: int = 0,
) -> Done:
    """The ``done`` event of a task that completed all stages.

    ``stage`` is the stage that ends the job; ``files`` references video and poster where the user gets them;
    ``replays`` counts the replays of the job. Raises UnreadableMetadata for a stage that has not run.
    """
    audio = task.metadata("audio", AudioMetadata)
    encode = task.metadata("encode", EncodeMetadata)
    return Done(
        job_id=task.job_id,
        tenant=task.request.tenant,
        request_id=task.request_id,
        time_ms=now_ms,
        stage=stage,
        attempt=attempt,
        trace_id=trace_id,
        sampled=sampled,
        replays=replays,
        batch=task.request.batch,
        labels=task.request.labels,
        submitted_ms=task.submitted_ms,
        department=task.request.department,
        video=files["video"],
        poster=files["poster"],
        duration_s=encode.duration_s,
        width=encode.width,
        height=encode.height,
        fps=encode.fps,
        engine=task.request.engine,
        duration_asked_s=audio.duration_asked_s,
        duration_gap_ms=audio.duration_gap_ms,
        container_drift_ms=encode.container_drift_ms,
        lip_offset_ms=encode.lip_offset_ms,
        audio_drift_ms=encode.audio_drift_ms,
        quality=encode.quality,
        seconds=seconds(task),
        gpu_seconds=task.metadata("infer", InferMetadata).gpu_seconds if "infer" in task.outputs else None,
        # The clocks of broker and machine may differ.
        total_s=max(0.0, round((now_ms - task.submitted_ms) / 1000, 3)),
        warnings=task.warnings,
    )


def summary_attributes(task: RenderTask) -> dict[str, int | float | str]:
    """All attributes that queries over renders use, on one span: a search over several spans is per stored block."""
    params = task.request.params
    attributes: dict[str, int | float | str] = {
        "render.job": task.job_id,
        "tenant": task.request.tenant,
        "engine": task.request.engine,
        "inference.steps": params.inference_steps,
        "dynamic.scale": params.dynamic_scale,
        "expand.ratio": params.expand_ratio,
        "video.format": "mp4",
    }
    if task.request.department:
        attributes["tenant.department"] = task.request.department
    if "audio" in task.outputs:
        audio = task.metadata("audio", AudioMetadata)
        attributes["audio.duration_gap_ms"] = audio.duration_gap_ms
        if audio.duration_asked_s is not None:
            attributes["audio.duration_asked_s"] = audio.duration_asked_s
    if "face" in task.outputs:
        attributes["face.roi_size"] = task.metadata("face", FaceMetadata).roi_size
    if "infer" in task.outputs:
        attributes["gpu.seconds"] = task.metadata("infer", InferMetadata).gpu_seconds
    if "encode" in task.outputs:
        encode = task.metadata("encode", EncodeMetadata)
        attributes |= {
            "video.resolution": f"{encode.width}x{encode.height}",
            "video.duration_s": encode.duration_s,
            **encode.attributes,
        }
    return attributes
