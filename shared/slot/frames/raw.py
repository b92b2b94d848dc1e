"""Chunks of raw frames, back to back."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shared.messages.chunks import frame_bytes
from shared.slot.frames.frame import DamagedChunk, Frame


class RawWriter:
    """Writes one chunk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, frame: Frame) -> None:
        """Append a frame."""
        self._file.write(frame.data)

    def close(self) -> None:
        """Complete the file."""
        self._file.close()


def read_raw(path: Path, width: int, height: int) -> Iterator[Frame]:
    """The frames of a chunk. Raises DamagedChunk."""
    pixels = np.fromfile(path, np.uint8)
    if pixels.size == 0 or pixels.size % frame_bytes(width, height):
        raise DamagedChunk(f"a chunk of {pixels.size} bytes is not a multiple of {width}x{height} frames")
    yield from pixels.reshape(-1, height * 3 // 2, width)
