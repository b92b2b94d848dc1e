"""Reduces a PNG to the chunks that its picture needs (W3C PNG, third edition).

Texts, time stamps and private chunks may be large or damaged without any harm to the picture; browsers skip them.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_PROFILE = 8 * 1024 * 1024
"""Largest colour profile that is applied, decompressed bytes: display profiles have up to 3 MiB."""
MAX_CHUNKS = 100_000
"""Encoders write 8 KiB of picture in a chunk: 8000 in the largest file. Each one is read in Python."""
_SIGNATURE = 8
_KEPT = frozenset((b"tRNS", b"eXIf"))


class PngDamaged(ValueError):
    """A chunk that the picture needs has a wrong checksum, or there are too many chunks."""


class ReducedPng(NamedTuple):
    """A PNG without metadata, and the ICC profile that it had."""

    data: bytes
    profile: bytes | None


def reduce_png(data: bytes) -> ReducedPng:
    """Keep the critical chunks, transparency and EXIF of the PNG file ``data``; take out the ICC profile.

    An ancillary chunk with a wrong checksum is dropped, as libpng does. The frames of an animation after the first are
    dropped, and so is a profile of more than 8 MiB. A truncated last chunk is kept as it is. Raises PngDamaged for a
    critical chunk with a wrong checksum, and for more than ``MAX_CHUNKS``.
    """
    kept = [data[:_SIGNATURE]]
    profile = None
    for number, (kind, start, end) in enumerate(_chunks(data), 1):
        if number > MAX_CHUNKS:
            raise PngDamaged(f"it has more than {MAX_CHUNKS} chunks")
        if _is_critical(kind):
            if kind != b"IEND" and not _is_intact(data, start, end):
                raise PngDamaged(f"the checksum of its chunk {kind.decode('latin-1')} is wrong")
        elif kind == b"iCCP" and _is_intact(data, start, end):
            profile = _profile(data[start + 8 : end - 4])
            continue
        elif kind not in _KEPT or not _is_intact(data, start, end):
            continue
        kept.append(data[start:end])
        if kind == b"IEND":
            break
    return ReducedPng(b"".join(kept), profile)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk with its length, type and checksum; the end may lie after that of the data."""
    start = _SIGNATURE
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], start, end
        start = end


def _is_critical(kind: bytes) -> bool:
    return not kind[0] & 0x20


def _is_intact(data: bytes, start: int, end: int) -> bool:
    """Whether the checksum matches; a truncated chunk has none, and the decoder finds out what is missing."""
    if end > len(data):
        return True
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")


def _profile(body: bytes) -> bytes | None:
    """The profile in an iCCP chunk (name, zero, method, compressed profile); None when it is damaged or too large."""
    compressed = body[body.find(b"\0") + 2 :]
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(compressed, MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflater.eof else None
