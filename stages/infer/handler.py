"""The infer stage's work on one task."""

import os

# numpy's BLAS threads would spin against the renderer's: set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from shared.messages.engines import ENGINE_PARAMS
from shared.messages.metadata import AudioMetadata, FaceMetadata, InferMetadata
from shared.slot.api import Context, Handler, Result, Task
from stages.infer.chunks import chunk_frames
from stages.infer.engine import FPS, Animation, Direction, Engine, Portrait, Speech
from stages.infer.engines import DEFAULT_ENGINE, ENVIRONMENT, load_engine
from stages.infer.i420 import to_i420

ROLE = "frames"

Scalar = TypeVar("Scalar", bound=np.generic)


def load() -> Handler:
    """Load the engine that LIPSTAGE_ENGINE names. Raises ValueError when there is none of that name."""
    cv2.setNumThreads(1)  # frames are rendered side by side; threads inside one only cost
    engine = load_engine(os.environ.get(ENVIRONMENT, DEFAULT_ENGINE))

    def handle(context: Context, task: Task) -> Result:
        return _handle(engine, context, task)

    return handle


def _handle(engine: Engine, context: Context, task: Task) -> Result:
    """Render and ship all frames. Raises ValueError when the task or its artifacts are not for this engine."""
    request = task.job.request
    if request.engine != engine.name:
        raise ValueError(f"a task for engine {request.engine} reached engine {engine.name}")
    params = request.params
    face, audio = task.job.metadata("face", FaceMetadata), task.job.metadata("audio", AudioMetadata)
    portrait, speech = _portrait(task, face), _speech(task, audio)
    with context.span("run_inference", engine=engine.name) as span:
        span.set("inference.steps", params.inference_steps)
        span.set("dynamic.scale", params.dynamic_scale)
        span.set("video.resolution", f"{face.width}x{face.height}")
        animation = engine.prepare(
            portrait,
            speech,
            Direction(params.inference_steps, params.dynamic_scale, params.seed),
            ENGINE_PARAMS[engine.name].model_validate(request.engine_params),
            context,
        )
        span.event("Animation prepared", {"frames": animation.frames})
        span.set("frames", animation.frames)
        context.progress(animation.lead, animation.lead + animation.frames)
        _ship(context, animation, face.width, face.height)
        figures = animation.figures()
        for name, value in figures.items():
            span.set(name, value)
    metadata = InferMetadata(
        engine=engine.name,
        width=face.width,
        height=face.height,
        fps=FPS,
        frames=animation.frames,
        steps=params.inference_steps,
        gpu_seconds=float(figures.get("gpu.seconds", 0.0)),
    )
    return Result(metadata=metadata)


def _ship(context: Context, animation: Animation, width: int, height: int) -> None:
    """Chunks of I420 frames, back to back, handed over one by one."""
    size, total = chunk_frames(width, height), animation.frames
    for number, start in enumerate(range(0, total, size)):
        stop = min(total, start + size)
        path = context.scratch / f"{ROLE}-{number:06d}.i420"
        with path.open("wb") as file:
            for frame in animation.render(start, stop):
                file.write(to_i420(frame).data)
        context.upload_chunk(ROLE, path, stop - start)
        context.progress(animation.lead + stop, animation.lead + total)


def _read(path: Path, dtype: type[Scalar], shape: tuple[int | None, ...]) -> npt.NDArray[Scalar]:
    """An array of exactly that type and shape (None: any size). Raises ValueError."""
    array = np.load(path, allow_pickle=False)
    fits = len(array.shape) == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        raise ValueError(f"{path.name}: {array.dtype} {array.shape} instead of {np.dtype(dtype)} {shape}")
    return np.asarray(array, dtype)


def _portrait(task: Task, face: FaceMetadata) -> Portrait:
    size = (face.height, face.width)
    return Portrait(
        image=_read(task.inputs["image"], np.uint8, (*size, 3)),
        landmarks=_read(task.inputs["landmarks"], np.float32, (478, 3)),
        mask=_read(task.inputs["mask"], np.uint8, size),
        box=face.box,
    )


def _speech(task: Task, audio: AudioMetadata) -> Speech:
    mel = _read(task.inputs["mel"], np.float32, (80, None))
    return Speech(
        pcm=np.fromfile(task.inputs["pcm"], "<f4"),
        mel=mel,
        tracks=_read(task.inputs["tracks"], np.float32, (3, mel.shape[1])),
        duration_s=audio.duration_s,
        silent=audio.silent or not audio.speech,
    )
