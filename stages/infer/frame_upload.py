"""Renders an animation's frames chunk by chunk, codes them and uploads each chunk."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from shared.messages.chunks import H264_LOSSLESS, RAW, FrameCodec, frame_bytes
from shared.slot.api import Context
from shared.slot.frames.chunk import open_writer, read_frames
from stages.infer.chunks import chunk_frames
from stages.infer.engine import Animation, Frame
from stages.infer.i420 import to_i420
from stages.infer.settings import CodecChoice

ROLE = "frames"
AHEAD = 4
"""Frames that are drawn and not coded yet."""
SMALLER = 2.0
"""How many times smaller than raw the first chunk must be for ``auto``: below it coding and decoding cost more CPU than
the object store saves (measured: docs/benchmarks.md)."""


def upload_frames(context: Context, animation: Animation, width: int, height: int, choice: CodecChoice) -> FrameCodec:
    """Upload all frames in chunks of one codec; returns the codec. Raises Cancelled."""
    codec: FrameCodec = RAW if choice == "raw" else H264_LOSSLESS
    size, total = chunk_frames(width, height), animation.frames
    for number, start in enumerate(range(0, total, size)):
        stop = min(total, start + size)
        path = context.scratch / f"{ROLE}-{number:06d}"
        _write(context, path, codec, width, height, animation.render(start, stop))
        if number == 0 and choice == "auto":
            raw_bytes = (stop - start) * frame_bytes(width, height)
            if path.stat().st_size * SMALLER > raw_bytes:
                path, codec = _as_raw(path, width, height), RAW
        context.upload_chunk(ROLE, path, stop - start, codec)
        context.progress(animation.prepare_cost + stop, animation.prepare_cost + total)
    return codec


def _write(context: Context, path: Path, codec: FrameCodec, width: int, height: int, frames: Iterable[Frame]) -> None:
    """Convert and code frames beside the drawing of the next ones: an accelerator does not wait for the CPU."""
    with closing(open_writer(path, codec, width, height)) as writer, ThreadPoolExecutor(1, "coding") as thread:

        def write(frame: Frame) -> None:
            writer.write(to_i420(frame))

        waiting: deque[Future[None]] = deque()
        for frame in frames:
            waiting.append(thread.submit(write, frame))
            if len(waiting) > AHEAD:
                waiting.popleft().result()
            context.raise_if_cancelled()  # A chunk may take seconds.
        for last in waiting:
            last.result()


def _as_raw(path: Path, width: int, height: int) -> Path:
    """Replace the first chunk by a raw one: decoding it is cheaper than to hold the frames of every first chunk."""
    raw = path.with_name(f"{path.name}-raw")
    with closing(open_writer(raw, RAW, width, height)) as writer:
        for frame in read_frames(path, H264_LOSSLESS, width, height):
            writer.write(frame)
    path.unlink()
    return raw
