"""The encode stage's work on one task."""

import os

# numpy's BLAS threads would only fight the other stages for the cores: set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from dataclasses import dataclass
from pathlib import Path

import av.logging
import numpy as np

from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.slot.api import Context, Handler, Result, Task
from stages.encode.check import measure
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.sample import Look, Sampler
from stages.encode.labels import labels
from stages.encode.mp4 import Coding, Frames, Mp4Writer, Sound
from stages.encode.poster import write_poster
from stages.encode.settings import EncodeSettings

_FORMAT = "mp4"


@dataclass(frozen=True, slots=True)
class Encoder:
    """What stays loaded between tasks."""

    coding: Coding
    sampler: Sampler | None
    """None: finished files are not looked at."""
    share: float
    """Of a render's time that the look may take."""


def load() -> Handler:
    """Read the settings, load the judge's networks. Raises shared.slot.weights.WeightsAltered."""
    av.logging.set_level(av.logging.PANIC)
    settings = EncodeSettings()
    coding = Coding(settings.x264_preset, settings.x264_threads)
    encoder = Encoder(coding, Sampler() if settings.lip_check else None, settings.lip_check)
    return lambda context, task: handle(context, task, encoder)


def handle(context: Context, task: Task, encoder: Encoder) -> Result:
    """Encode the frames and the sound, then measure the finished file.

    Files: ``video`` (mp4), ``poster`` (jpg, the first frame: the mouth is at rest and the picture is the nearest to
    the portrait the user gave). Raises ValueError when the artifacts do not fit each other or the finished file does
    not hold what was put in.
    """
    begun = time.monotonic()
    audio = task.job.metadata("audio", AudioMetadata)
    infer = task.job.metadata("infer", InferMetadata)
    tags = labels(infer.engine)
    video, poster = context.scratch / "video.mp4", context.scratch / "poster.jpg"
    resolution = f"{infer.width}x{infer.height}"
    with context.span("encode_video", **{"video.resolution": resolution, "video.format": _FORMAT}) as span:
        done = 0
        sound = _sound(task.inputs["sound"], audio.sound_channels)
        with Mp4Writer(video, infer.width, infer.height, sound, tags, encoder.coding) as writer:
            for chunk in context.chunks("frames"):
                frames = _frames(chunk, infer.width, infer.height)
                if done == 0:
                    write_poster(poster, frames[0], tags["comment"])
                writer.write(frames)
                done += len(frames)
                context.progress(done, infer.frames)
        measured = measure(video)
        if not done == measured.frames == infer.frames or measured.fps != infer.fps:
            raise ValueError(
                f"{infer.frames} frames at {infer.fps} fps were announced, {done} came, "
                f"the file holds {measured.frames} at {measured.fps} fps"
            )
        context.raise_if_cancelled()
        spent = time.monotonic() - begun + sum(product.seconds for product in task.job.outputs.values())
        look = _look(context, encoder, task, video, spent)
        metadata = EncodeMetadata(
            duration_s=measured.duration_s,
            width=measured.width,
            height=measured.height,
            fps=int(measured.fps),
            frames=measured.frames,
            container_drift_ms=measured.drift_ms,
            lip_offset_ms=look.offset_ms,
            quality=look.quality,
            bytes=measured.bytes,
        )
        span.set("video.duration_s", metadata.duration_s)
        for name, value in metadata.attributes.items():
            span.set(name, value)
    return Result(metadata=metadata, files={"video": video, "poster": poster})


def _look(context: Context, encoder: Encoder, task: Task, video: Path, spent: float) -> Look:
    """The judge's sample; no figures where nobody asked or it can't be judged: the video is none the worse for it."""
    if encoder.sampler is None:
        return Look(None, None)
    speech, box = task.job.metadata("audio", AudioMetadata).speech, task.job.metadata("face", FaceMetadata).box
    portrait = np.load(task.inputs["portrait"], mmap_mode="r", allow_pickle=False)
    try:
        return encoder.sampler.look(video, portrait, encoder.share * spent, speech=speech, box=box)
    except Unjudgeable as e:
        context.log.warning("not_judged", reason=str(e))
    except Exception as e:  # noqa: BLE001 - a finished video must not be lost to a figure about it
        context.log.error("look_failed", error=type(e).__name__)
    return Look(None, None)


def _sound(path: Path, channels: int) -> Sound:
    """The sound artifact, mapped rather than read: 10 minutes of stereo are 230 MB."""
    samples = np.memmap(path, "<f4", "r")
    if samples.size % channels:
        raise ValueError(f"the sound's {samples.size} values are no whole number of {channels} channels")
    return samples.reshape(-1, channels)


def _frames(path: Path, width: int, height: int) -> Frames:
    """One chunk: uint8 [n, height * 3 / 2, width]."""
    picture = width * height * 3 // 2
    pixels = np.fromfile(path, np.uint8)
    if pixels.size == 0 or pixels.size % picture:
        raise ValueError(f"a chunk of {pixels.size} bytes holds no whole number of {width}x{height} frames")
    return pixels.reshape(-1, height * 3 // 2, width)
