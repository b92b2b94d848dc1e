"""Limits of a chunk: consecutive raw frames in one object. All stages and the storage share them."""

MAX_CHUNK_FRAMES = 25
"""One second of video."""
MAX_CHUNK_BYTES = 16 << 20
