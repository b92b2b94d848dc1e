"""Sizes of frame chunks; free of heavy imports, because the service's parent reads it too."""

from shared.messages.chunks import MAX_CHUNK_BYTES, MAX_CHUNK_FRAMES


def frame_bytes(width: int, height: int) -> int:
    """Bytes of one I420 frame of that size."""
    return width * height * 3 // 2


def chunk_frames(width: int, height: int) -> int:
    """Frames in a full chunk: up to a second of video, up to 16 MiB, at least one."""
    return max(1, min(MAX_CHUNK_FRAMES, MAX_CHUNK_BYTES // frame_bytes(width, height)))
