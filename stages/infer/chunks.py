"""Sizes of frame chunks; free of heavy imports, because the service's parent reads it too."""

from shared.messages.chunks import MAX_CHUNK_BYTES, MAX_CHUNK_FRAMES, MAX_CODED_CHUNK_BYTES, frame_bytes


def chunk_frames(width: int, height: int) -> int:
    """Frames in a full chunk: up to a second of video, up to 16 MiB, at least one."""
    return max(1, min(MAX_CHUNK_FRAMES, MAX_CHUNK_BYTES // frame_bytes(width, height)))


def largest_chunk_bytes(width: int, height: int) -> int:
    """The most that a full chunk takes with any codec, bytes."""
    return chunk_frames(width, height) * frame_bytes(width, height) * MAX_CODED_CHUNK_BYTES // MAX_CHUNK_BYTES
