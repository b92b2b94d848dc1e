"""Renders with the whole engine: how long a GPU waits while frames are coded, and whether a resumed render is equal."""

import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import numpy as np

from shared.messages.engines import SonicParams
from shared.slot.frames.chunk import read_frames
from stages.infer.engine import Portrait, RenderParams, Speech
from stages.infer.frame_upload import upload_frames
from stages.infer.settings import CodecChoice
from stages.infer.sonic.animation import SonicAnimation
from stages.infer.sonic.engine import SonicEngine
from tests.stage_harness import StageHarness

CHOICES: tuple[CodecChoice, ...] = ("raw", "h264-lossless", "auto")
SEED = 7


def portrait(side: int) -> Portrait:
    """A smooth picture of that many pixels a side."""
    ramp = np.add.outer(np.arange(side), np.arange(side)) * 255 // (2 * side)
    image = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8)
    box = tuple(float(side * share) for share in (0.3, 0.3, 0.7, 0.7))
    return Portrait(np.ascontiguousarray(image), np.zeros((478, 3), np.float32), np.zeros((side, side), np.uint8), box)  # type: ignore[arg-type]


def speech(seconds: float) -> Speech:
    """Noise of that length."""
    samples = round(seconds * 16_000)
    pcm = (np.random.default_rng(2).standard_normal(samples) * 0.1).astype(np.float32)
    columns = samples // 160
    return Speech(pcm, np.zeros((80, columns), np.float32), np.zeros((3, columns), np.float32), seconds, False)


def prepare(engine: SonicEngine, side: int, seconds: float, steps: int, context: StageHarness) -> SonicAnimation:
    """A denoised render."""
    params = SonicParams(decode_overlap=2)
    return engine.prepare(portrait(side), speech(seconds), RenderParams(steps, 1.0, SEED), params, context)


def uploaded(context: StageHarness, side: int) -> Iterator[bytes]:
    """The frames that a render has uploaded."""
    for path, _ in context.uploaded["frames"]:
        for frame in read_frames(path, context.codecs["frames"], side, side):
            yield frame.tobytes()


def digest(context: StageHarness, side: int) -> str:
    """SHA-256 of all frames."""
    whole = sha256()
    for frame in uploaded(context, side):
        whole.update(frame)
    return whole.hexdigest()


def measure_codec(engine: SonicEngine, side: int, seconds: float, steps: int) -> list[dict[str, Any]]:
    """One row per codec: the share of the time in which the device does not work, of the render and of its drawing.

    On a CPU the shares are None: the device's time is not measured there.
    """
    rows: list[dict[str, Any]] = []
    for choice in CHOICES:
        with tempfile.TemporaryDirectory() as folder:
            context = StageHarness(Path(folder))
            started = time.monotonic()
            animation = prepare(engine, side, seconds, steps, context)
            denoised, before = time.monotonic(), float(animation.metrics()["gpu.seconds"])
            codec = upload_frames(context, animation, side, side, choice)
            ended, gpu_s = time.monotonic(), float(animation.metrics()["gpu.seconds"])
            size = sum(path.stat().st_size for path, _ in context.uploaded["frames"])
            row = {
                "setting": choice,
                "codec": codec,
                "frames": animation.frames,
                "denoise_s": round(denoised - started, 3),
                "draw_s": round(ended - denoised, 3),
                "idle_share": round(1 - gpu_s / (ended - started), 4) if gpu_s else None,
                "idle_share_of_drawing": round(1 - (gpu_s - before) / (ended - denoised), 4) if gpu_s else None,
                "times_smaller": round(animation.frames * side * side * 1.5 / size, 2),
                "frames_sha256": digest(context, side),
            }
        rows.append(row)
        print(row, flush=True)
    return rows


def measure_resume(engine: SonicEngine, side: int, seconds: float, steps: int) -> dict[str, Any]:
    """Whether a render that continues from each of its checkpoints has the same frames, and a repeated one too."""
    with tempfile.TemporaryDirectory() as folder:
        first = StageHarness(Path(folder) / "first")
        upload_frames(first, prepare(engine, side, seconds, steps, first), side, side, "raw")
        expected = digest(first, side)
        same = {}
        for done, checkpoint in [(0, None), *((done, path) for path, done in first.checkpoints)]:
            again = StageHarness(Path(folder) / f"again-{done}", checkpoint=checkpoint)
            upload_frames(again, prepare(engine, side, seconds, steps, again), side, side, "raw")
            same[done] = digest(again, side) == expected
    return {"steps": steps, "same_frames_from_step": same}


def nvenc_lossless(side: int) -> str:
    """Whether NVENC codes lossless H.264 here: ``yes``, or what FFmpeg says. An H200 has no NVENC."""
    try:
        encoder = av.CodecContext.create("h264_nvenc", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = side, side, "yuv420p", Fraction(25)
        encoder.options = {"preset": "p1", "tune": "lossless"}
        frame = av.VideoFrame.from_ndarray(np.zeros((side * 3 // 2, side), np.uint8), "yuv420p")
        list(encoder.encode(frame))
    except (av.error.FFmpegError, ValueError) as e:
        return f"{type(e).__name__}: {e}"
    return "yes"
