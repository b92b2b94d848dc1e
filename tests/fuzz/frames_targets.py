"""Chunks of frames: what the encode stage reads of an infer worker that a hostile input may have taken over."""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shared.messages.chunks import H264_LOSSLESS, RAW, FrameCodec
from shared.slot.frames.chunk import open_writer, read_frames
from shared.slot.frames.frame import DamagedChunk
from tests.fuzz.media_parts import access_units
from tests.fuzz.mutation import mutate_bytes, structured
from tests.fuzz.target import Target

WIDTH, HEIGHT, FRAMES = 64, 48, 3


@functools.cache
def seeds(codec: FrameCodec) -> Sequence[bytes]:
    """Three frames of noise, and three that are equal."""
    made = []
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (HEIGHT * 3 // 2, WIDTH), dtype=np.uint8) for _ in range(FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        for frames in (noise, [noise[0] // 16] * FRAMES):
            path = Path(folder) / "chunk"
            writer = open_writer(path, codec, WIDTH, HEIGHT)
            for frame in frames:
                writer.write(frame)
            writer.close()
            made.append(path.read_bytes())
    return made


def read_chunk(codec: FrameCodec, path: Path) -> str:
    """All frames of a chunk: they have the stated size, or the chunk is damaged."""
    try:
        frames = list(read_frames(path, codec, WIDTH, HEIGHT))
    except DamagedChunk as damaged:
        return "damaged: " + "".join(letter for letter in str(damaged) if not letter.isdigit())[:60]
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {((HEIGHT * 3 // 2, WIDTH), "uint8")}
    return f"{len(frames)} frames" if len(frames) <= FRAMES else "more frames"


TARGETS = [
    Target(
        "frames.h264",
        functools.partial(seeds, H264_LOSSLESS),
        functools.partial(read_chunk, H264_LOSSLESS),
        structured(access_units),
    ),
    Target("frames.raw", functools.partial(seeds, RAW), functools.partial(read_chunk, RAW), mutate_bytes),
]
