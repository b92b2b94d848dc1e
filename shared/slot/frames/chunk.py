"""Writes and reads one chunk with any codec."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

from shared.messages.chunks import H264_LOSSLESS, FrameCodec
from shared.slot.frames.frame import Frame


class ChunkWriter(Protocol):
    """Writes the frames of one chunk; close it in any case."""

    def write(self, frame: Frame) -> None:
        """Append a frame."""

    def close(self) -> None:
        """Complete the file."""


def load_codec(codec: FrameCodec) -> None:
    """Import the codec, so that no task waits for it. Raises ModuleNotFoundError for a missing media library."""
    import_module("shared.slot.frames.h264" if codec == H264_LOSSLESS else "shared.slot.frames.raw")


def open_writer(path: Path, codec: FrameCodec, width: int, height: int) -> ChunkWriter:
    """A writer of a new chunk; all its frames have that size in pixels. Raises OSError."""
    if codec == H264_LOSSLESS:
        from shared.slot.frames.h264 import H264Writer

        return H264Writer(path, width, height)
    from shared.slot.frames.raw import RawWriter

    return RawWriter(path)


def read_frames(path: Path, codec: FrameCodec, width: int, height: int) -> Iterator[Frame]:
    """The frames of a chunk in order, one at a time.

    Raises DamagedChunk, also after the first frames, when the file does not contain frames of that size in pixels.
    """
    if codec == H264_LOSSLESS:
        from shared.slot.frames.h264 import read_h264

        return read_h264(path, width, height)
    from shared.slot.frames.raw import read_raw

    return read_raw(path, width, height)
