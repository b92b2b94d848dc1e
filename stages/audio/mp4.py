"""MP4 and QuickTime (ISO/IEC 14496-12): whether a file is one, and whether it ends too early.

libav does not notice an end inside the index or a fragment.
"""

from typing import BinaryIO

_SURE = (b"ftyp", b"moov", b"mdat", b"wide")
"""The first box of nearly all files; QuickTime's need not name their type."""
_FIRST = (b"free", b"skip", b"pnot", b"styp", b"uuid", b"sidx", b"moof", b"emsg", b"prft")
"""Other first boxes: words that occur in any file, so another known box must follow."""
_KNOWN = frozenset((*_SURE, *_FIRST, b"PICT", b"meta"))
_MAX_FIRST = 16
_MAX_BOXES = 100_000
"""A fragmented file has two or three boxes for each second or so."""


def is_mp4(file: BinaryIO, start: int, size: int) -> bool:
    """Whether an MP4 begins at ``start`` in a file of ``size`` bytes."""
    offset = start
    for _ in range(_MAX_FIRST):
        length, name = box(file, offset)
        if name in _SURE:
            return True
        if name not in _KNOWN or not 8 <= length <= size - offset:
            return False
        offset += length
    return False


def mp4_is_cut(file: BinaryIO, start: int, size: int) -> bool:
    """Whether an MP4 ends inside its index, before it, or inside a fragment.

    A whole index states the length of its sound, which shows what is missing. A fragment states its own length only.
    """
    offset, names = start, set()
    for _ in range(_MAX_BOXES):
        length, name = box(file, offset)
        if length == 0 or len(name) < 4:  # Up to the end of the file.
            return False
        names.add(name)
        if length < 8 or offset + length > size:
            indexed = b"moov" in names and b"moof" not in names
            return name in (b"moov", b"moof") or (name == b"mdat" and not indexed)
        offset += length
    return False


def box(file: BinaryIO, offset: int) -> tuple[int, bytes]:
    """Bytes and name of the box at ``offset``; 0 bytes: up to the end of the file. The name has less than 4 bytes where
    the file ends in the header."""
    file.seek(offset)
    header = file.read(16)
    length = int.from_bytes(header[:4], "big")
    return int.from_bytes(header[8:], "big") if length == 1 else length, header[4:8]
