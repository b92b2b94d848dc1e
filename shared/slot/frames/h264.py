"""Chunks as lossless H.264: libx264 ultrafast at qp 0, one closed GOP a chunk, bit-exact.

The file is a byte stream (ITU-T H.264, Annex B) in which an access unit delimiter starts each frame, so a reader finds
the frames without probing: any player opens it, and our decoder is fed with exactly one access unit a frame.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np

from shared.messages.chunks import MAX_CHUNK_FRAMES
from shared.messages.engines import FPS
from shared.slot.frames.frame import DamagedChunk, Frame

_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "qp": "0", "x264-params": "aud=1:scenecut=0"}
_DELIMITER = b"\x00\x00\x00\x01\x09"
"""Start code and header of an access unit delimiter. No other part of a stream contains a start code."""
_PIXELS = "yuv420p"


class H264Writer:
    """Writes one chunk; a frame is in the file once it is written, so memory holds one."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        av.logging.set_level(av.logging.PANIC)
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = width, height, _PIXELS
        self._encoder.time_base = Fraction(1, FPS)
        # Frames are rendered in parallel, and threads of x264 would change the bytes.
        self._encoder.thread_count = 1
        self._encoder.gop_size = MAX_CHUNK_FRAMES + 1
        self._encoder.options = _OPTIONS
        self._frames = 0
        self._file = path.open("wb")

    def write(self, frame: Frame) -> None:
        """Append a frame."""
        picture = av.VideoFrame.from_ndarray(frame, _PIXELS)
        picture.pts = self._frames
        self._frames += 1
        for packet in self._encoder.encode(picture):
            self._file.write(packet)

    def close(self) -> None:
        """Complete the file."""
        with self._file:
            if self._frames:
                for packet in self._encoder.encode(None):
                    self._file.write(packet)


def read_h264(path: Path, width: int, height: int) -> Iterator[Frame]:
    """The frames of a chunk; memory holds the file and a few frames. Raises DamagedChunk."""
    av.logging.set_level(av.logging.PANIC)
    before, *units = path.read_bytes().split(_DELIMITER)
    if before or not 0 < len(units) <= MAX_CHUNK_FRAMES:
        raise DamagedChunk(f"a chunk with {len(units)} access units is not one of 1 to {MAX_CHUNK_FRAMES} frames")
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    count = 0
    try:
        for packet in (*(av.Packet(_DELIMITER + unit) for unit in units), None):
            for picture in decoder.decode(packet):
                if (picture.format.name, picture.width, picture.height) != (_PIXELS, width, height):
                    raise DamagedChunk(
                        f"a chunk has frames of {picture.width}x{picture.height} {picture.format.name} instead of "
                        f"{width}x{height} {_PIXELS}"
                    )
                count += 1
                yield np.asarray(picture.to_ndarray(), np.uint8)
    except av.error.FFmpegError as e:
        raise DamagedChunk(f"a chunk can't be decoded as H.264 at frame {count}: {e.strerror}") from e
    if count != len(units):
        raise DamagedChunk(f"a chunk with {len(units)} access units has {count} frames")
