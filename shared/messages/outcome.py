"""The result of a job: its ``done`` event, and the attributes of the ``render`` span, whatever its outcome."""

from collections.abc import Mapping
from datetime import UTC, datetime

from shared.messages.codes import Code
from shared.messages.events import Done, Failed, TerminalEvent
from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.messages.non_optimal import is_non_optimal
from shared.messages.pipeline import STAGES
from shared.messages.refs import ArtifactRef
from shared.messages.task import MetadataT, RenderTask, UnreadableMetadata

Attributes = dict[str, int | float | str | bool | None]


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
        consent=task.request.consent,
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


def outcome_of(event: TerminalEvent) -> str:
    """How the render ended: done, rejected, expired, cancelled or failed."""
    match event:
        case Failed(code=Code.CANCELLED):
            return "cancelled"
        case Failed(code=Code.EXPIRED):
            return "expired"
        case _:
            return event.type


def summary_attributes(event: TerminalEvent, task: RenderTask | None, waited_ms: int = 0) -> Attributes:
    """The attributes of the ``render`` span: all that queries over renders use, on one span.

    ``task`` is the job with the outputs of the completed stages, None where it can't be read; ``waited_ms`` is how long
    the record of the stage that ended the job waited on its topic. None stands for what is not known. Never raises: an
    output in another form is left out.
    """
    outcome = outcome_of(event)
    code = None if isinstance(event, Done) else event.code.value
    outputs = task.outputs if task else {}
    before = [output for stage, output in outputs.items() if stage != event.stage]
    ended = outputs.get(event.stage)
    submitted_ms = task.submitted_ms if task else event.time_ms
    attributes: Attributes = {
        "render.job": event.job_id,
        "tenant": event.tenant,
        "outcome": outcome,
        "error.type": code if outcome in ("failed", "expired") else None,
        "render.rejection": code if outcome == "rejected" else None,
        "attempts": sum(output.attempts for output in before) + event.attempt,
        "replays": event.replays,
        "render.date": datetime.fromtimestamp(min(submitted_ms, event.time_ms) / 1000, UTC).date().isoformat(),
        "queue.wait_ms": sum(output.queue_ms for output in before) + (ended.queue_ms if ended else waited_ms),
    }
    if task is None:
        return attributes
    return attributes | _of_request(task) | _of_outputs(task) | _of_video(event, task)


def _of_request(task: RenderTask) -> Attributes:
    params = task.request.params
    return {
        "tenant.department": task.request.department,
        "engine": task.request.engine,
        "inference.steps": params.inference_steps,
        "dynamic.scale": params.dynamic_scale,
        "expand.ratio": params.expand_ratio,
        "audio.duration_asked_s": params.duration,
    }


def _of_outputs(task: RenderTask) -> Attributes:
    """What the completed stages measured."""
    attributes: Attributes = {f"seconds.{stage}": value for stage, value in seconds(task).items() if stage in STAGES}
    if task.outputs:
        attributes["cpu.seconds"] = round(sum(output.cpu_seconds for output in task.outputs.values()), 3)
    if audio := _metadata(task, "audio", AudioMetadata):
        attributes |= {"audio.duration_s": audio.duration_s, "audio.duration_gap_ms": audio.duration_gap_ms}
    if face := _metadata(task, "face", FaceMetadata):
        attributes |= {"face.roi_size": face.roi_size, "video.resolution": f"{face.width}x{face.height}"}
    if infer := _metadata(task, "infer", InferMetadata):
        attributes["gpu.seconds"] = infer.gpu_seconds
    if encode := _metadata(task, "encode", EncodeMetadata):
        attributes |= {
            "video.resolution": f"{encode.width}x{encode.height}",
            "video.duration_s": encode.duration_s,
            "video.format": "mp4",
            **encode.attributes,
        }
    return attributes


def _of_video(event: TerminalEvent, task: RenderTask) -> Attributes:
    """Whether a finished video is worse than it could be."""
    if not isinstance(event, Done):
        return {}
    audio, encode = _metadata(task, "audio", AudioMetadata), _metadata(task, "encode", EncodeMetadata)
    non_optimal = is_non_optimal(
        {warning.code for warning in task.warnings},
        drift_ms=encode.audio_drift_ms if encode else None,
        gap_ms=audio.duration_gap_ms if audio else None,
        quality=encode.quality if encode else None,
    )
    return {"render.non_optimal": non_optimal}


def _metadata(task: RenderTask, stage: str, model: type[MetadataT]) -> MetadataT | None:
    """The metadata of a completed stage; None of one that has not run, or wrote another form."""
    try:
        return task.metadata(stage, model)
    except UnreadableMetadata:
        return None
