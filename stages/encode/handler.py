"""The encode stage's handler: frames and sound become an mp4 and a poster; the finished file is measured."""

import time
from dataclasses import dataclass
from pathlib import Path

import av.logging
import numpy as np

from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.slot.api import Context, Handler, Result, Task
from stages.encode.container import measure_container
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.sample import QualitySample, Sampler
from stages.encode.labels import labels
from stages.encode.mp4 import Coding, Frames, Mp4Writer, Sound
from stages.encode.poster import write_poster
from stages.encode.settings import EncodeSettings

_FORMAT = "mp4"


def load() -> Handler:
    """Read the settings, load the evaluation's networks. Raises shared.slot.weights.WeightsAltered."""
    av.logging.set_level(av.logging.PANIC)
    settings = EncodeSettings()
    coding = Coding(settings.x264_preset, settings.x264_threads)
    return EncodeHandler(coding, Sampler() if settings.lip_check else None, settings.lip_check).handle


@dataclass(frozen=True, slots=True)
class EncodeHandler:
    """Encodes tasks; holds what stays loaded between them."""

    coding: Coding
    sampler: Sampler | None
    """None: lip offset and quality of finished files are not measured."""
    time_share: float
    """Share of a render's time that this measurement may take, 0..1."""

    def handle(self, context: Context, task: Task) -> Result:
        """Encode the frames and the sound, then measure the finished file.

        Files: ``video`` (mp4) and ``poster`` (jpg, the first frame: the mouth is at rest and the picture is the closest
        to the user's portrait). Raises ValueError when the artifacts do not fit each other, or when the finished file
        does not contain them.
        """
        start = time.monotonic()
        audio = task.job.metadata("audio", AudioMetadata)
        infer = task.job.metadata("infer", InferMetadata)
        tags = labels(infer.engine)
        video, poster = context.scratch / "video.mp4", context.scratch / "poster.jpg"
        resolution = f"{infer.width}x{infer.height}"
        with context.span("encode_video", **{"video.resolution": resolution, "video.format": _FORMAT}) as span:
            done = 0
            sound = _sound(task.inputs["sound"], audio.sound_channels)
            with Mp4Writer(video, infer.width, infer.height, sound, tags, self.coding) as writer:
                for chunk in context.chunks("frames"):
                    frames = _frames(chunk, infer.width, infer.height)
                    if done == 0:
                        write_poster(poster, frames[0], tags["comment"])
                    writer.write(frames)
                    done += len(frames)
                    context.progress(done, infer.frames)
            container = measure_container(video)
            if not done == container.frames == infer.frames or container.fps != infer.fps:
                raise ValueError(
                    f"the metadata has {infer.frames} frames at {infer.fps} fps, the chunks have {done}, "
                    f"the file has {container.frames} at {container.fps} fps"
                )
            context.raise_if_cancelled()
            render_s = time.monotonic() - start + sum(output.seconds for output in task.job.outputs.values())
            sample = self._measure_quality(context, task, video, self.time_share * render_s)
            metadata = EncodeMetadata(
                duration_s=container.duration_s,
                width=container.width,
                height=container.height,
                fps=int(container.fps),
                frames=container.frames,
                container_drift_ms=container.drift_ms,
                lip_offset_ms=sample.offset_ms,
                quality=sample.quality,
                bytes=container.bytes,
            )
            span.set("video.duration_s", metadata.duration_s)
            for name, value in metadata.attributes.items():
                span.set(name, value)
        return Result(metadata=metadata, files={"video": video, "poster": poster})

    def _measure_quality(self, context: Context, task: Task, video: Path, budget_s: float) -> QualitySample:
        """Measure lip offset and quality; both None when this is disabled or fails: the finished video is kept."""
        if self.sampler is None:
            return QualitySample(None, None)
        speech, box = task.job.metadata("audio", AudioMetadata).speech, task.job.metadata("face", FaceMetadata).box
        portrait = np.load(task.inputs["portrait"], mmap_mode="r", allow_pickle=False)
        try:
            return self.sampler.measure(video, portrait, budget_s, speech=speech, box=box)
        except EvaluationError as e:
            context.log.warning("quality_not_measured", reason=str(e))
        except Exception as e:  # noqa: BLE001 - a finished video must not be lost to a metric about it
            context.log.error("quality_measurement_failed", error=type(e).__name__)
        return QualitySample(None, None)


def _sound(path: Path, channels: int) -> Sound:
    """Map the sound artifact instead of reading it: 10 minutes of stereo are 230 MB."""
    samples = np.memmap(path, "<f4", "r")
    if samples.size % channels:
        raise ValueError(f"the sound's {samples.size} values are not a multiple of {channels} channels")
    return samples.reshape(-1, channels)


def _frames(path: Path, width: int, height: int) -> Frames:
    """Read one chunk: uint8 [n, height * 3 / 2, width]."""
    frame_bytes = width * height * 3 // 2
    pixels = np.fromfile(path, np.uint8)
    if pixels.size == 0 or pixels.size % frame_bytes:
        raise ValueError(f"a chunk of {pixels.size} bytes is not a multiple of {width}x{height} frames")
    return pixels.reshape(-1, height * 3 // 2, width)
