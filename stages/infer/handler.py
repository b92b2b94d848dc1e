"""The infer stage's work on one task."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from shared.messages.chunks import H264_LOSSLESS, RAW, FrameCodec
from shared.messages.engines import DEFAULT_ENGINE, ENGINE_PARAMS, FPS
from shared.messages.metadata import AudioMetadata, FaceMetadata, InferMetadata
from shared.slot.api import Context, Handler, Result, Task, Unavailable
from shared.slot.engines import engine_spec
from shared.slot.frames.chunk import load_codec
from stages.infer.engine import Engine, Portrait, RenderParams, Speech
from stages.infer.frame_upload import upload_frames
from stages.infer.settings import CodecChoice, InferSettings

ENVIRONMENT = "LIPSTAGE_ENGINE"
"""Environment variable with the name of the engine that a service runs."""

Scalar = TypeVar("Scalar", bound=np.generic)


def load() -> Handler:
    """Load the engine that LIPSTAGE_ENGINE names. Raises ValueError for an unknown name, and what its load raises."""
    cv2.setNumThreads(1)  # Frames are rendered in parallel; threads within a frame only cost time.
    codec = InferSettings().frame_codec
    engine = load_engine(os.environ.get(ENVIRONMENT, DEFAULT_ENGINE), RAW if codec == "raw" else H264_LOSSLESS)
    return InferHandler(engine, codec).handle


def load_engine(name: str, codec: FrameCodec = RAW) -> Engine:
    """Import, create and load an engine, and the codec of its frames.

    Raises ValueError for an unknown name, Unavailable when a library is missing, and what the engine's load raises.
    """
    spec = engine_spec(name)
    module, _, attribute = spec.factory.partition(":")
    try:
        load_codec(codec)
        engine: Engine = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as e:
        setup = f": `{spec.environment.setup}`" if spec.environment is not None else ""
        raise Unavailable(f"the engine {name} needs {e.name}, which this Python does not have{setup}") from e
    engine.load()
    return engine


@dataclass(frozen=True, slots=True)
class InferHandler:
    """Renders tasks with one loaded engine."""

    engine: Engine
    codec: CodecChoice = "auto"

    def handle(self, context: Context, task: Task) -> Result:
        """Render and upload all frames. Raises ValueError when the task or its artifacts are not for this engine."""
        engine, request = self.engine, task.job.request
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
                RenderParams(params.inference_steps, params.dynamic_scale, params.seed),
                ENGINE_PARAMS[engine.name].model_validate(request.engine_params),
                context,
            )
            span.event("Animation prepared", {"frames": animation.frames})
            span.set("frames", animation.frames)
            context.progress(animation.prepare_cost, animation.prepare_cost + animation.frames)
            codec = upload_frames(context, animation, face.width, face.height, self.codec)
            span.set("frames.codec", codec)
            metrics = animation.metrics()
            for name, value in metrics.items():
                span.set(name, value)
        metadata = InferMetadata(
            engine=engine.name,
            width=face.width,
            height=face.height,
            fps=FPS,
            frames=animation.frames,
            steps=params.inference_steps,
            gpu_seconds=float(metrics.get("gpu.seconds", 0.0)),
            frame_codec=codec,
        )
        return Result(metadata=metadata)


def _read(path: Path, dtype: type[Scalar], shape: tuple[int | None, ...]) -> npt.NDArray[Scalar]:
    """Read an array. Raises ValueError unless it has this dtype and shape (None: any size)."""
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
