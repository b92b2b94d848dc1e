"""Limits of a chunk, consecutive frames in one object, and how its frames are coded. All stages and the storage share
them."""

from typing import Literal

MAX_CHUNK_FRAMES = 25
"""One second of video."""
MAX_CHUNK_BYTES = 16 << 20
"""Frames of a chunk before coding, bytes."""
MAX_CODED_CHUNK_BYTES = 28 << 20
"""A chunk after coding, bytes: lossless H.264 makes white noise 1.63 times larger."""

FrameCodec = Literal["raw", "h264-lossless"]
"""How the chunks of one sequence are coded. ``raw``: I420 frames back to back. ``h264-lossless``: an H.264 byte stream
(Annex B) of one closed GOP, one access unit a frame, that decodes to the same bytes."""
RAW: FrameCodec = "raw"
"""What a sequence has that names no codec: those of version 0.4.0."""
H264_LOSSLESS: FrameCodec = "h264-lossless"


def frame_bytes(width: int, height: int) -> int:
    """Bytes of one I420 frame of that size before coding."""
    return width * height * 3 // 2
