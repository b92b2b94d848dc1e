"""Files that end too early without libav noticing it: each check looks at the structure that the end must have."""

from typing import BinaryIO

_OGG_TAIL_BYTES = 64 * 1024 + 512
"""More than the largest Ogg page (RFC 3533: 27 + 255 + 255 * 255 bytes)."""
_MAX_BOXES = 100_000
"""A fragmented file has two or three boxes for each second or so."""


def ogg_is_cut(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is incomplete."""
    start = max(0, size - _OGG_TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27:
        return True
    segments = page[27 : 27 + page[26]]
    return len(segments) < page[26] or 27 + len(segments) + sum(segments) > len(page)


def mp4_is_cut(file: BinaryIO, start: int, size: int) -> bool:
    """Whether an MP4 ends inside its index, before it, or inside a fragment (ISO/IEC 14496-12).

    A whole index states the length of its sound, which shows what is missing. A fragment states its own length only.
    """
    offset, names = start, set()
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        header = file.read(16)
        if len(header) < 8:
            return False
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        names.add(name)
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length == 0:  # Up to the end of the file.
            return False
        if length < 8 or offset + length > size:
            indexed = b"moov" in names and b"moof" not in names
            return name in (b"moov", b"moof") or (name == b"mdat" and not indexed)
        offset += length
    return False
