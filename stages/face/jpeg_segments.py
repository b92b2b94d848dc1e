"""The segments of a JPEG file, and its header reduced to those that the picture needs (ISO/IEC 10918-1, annex B).

Pillow reads a header byte by byte in Python and keeps all of it: megabytes of fill bytes or of empty segments take
minutes and hundreds of megabytes.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_SEGMENTS = 10_000
"""Photographs have up to some hundred: a profile or extended XMP is cut into segments of 64 KiB."""
SOS, EOI = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")
"""A marker with a segment, or EOI: 0xFF before zero is a byte of data, before 0xFF a fill byte; TEM, RSTn and SOI have
no segment."""
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_TABLES = range(0xC0, 0xE0)
"""Frame headers and tables."""
_EXIF, _PROFILE = b"Exif\0", b"ICC_PROFILE\0"


class JpegOverlong(ValueError):
    """More segments than a photograph has."""


class Segment(NamedTuple):
    """A marker segment: the offset of its marker (0xFF) and of its end; data of a scan follow the end of SOS."""

    marker: int
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """The segments of the JPEG file ``data`` up to its first end marker, which is the last one.

    Segments are skipped by their length. Raises JpegOverlong.
    """
    offset, number = 2, 0
    while match := _MARKER.search(data, offset):
        number += 1
        if number > MAX_SEGMENTS:
            raise JpegOverlong(f"it has more than {MAX_SEGMENTS} segments")
        start, offset, marker = match.start(), match.end(), match[1][0]
        if marker != EOI:
            offset += int.from_bytes(data[offset : offset + 2], "big")
        yield Segment(marker, start, offset)
        if marker == EOI:
            break


def reduce_header(data: bytes) -> bytes:
    """The JPEG file ``data`` whose header has frame, tables, JFIF, Adobe, the first EXIF and the colour profile only.

    Everything from the first scan is kept, and so is a file without any. Raises JpegOverlong.
    """
    kept = [memoryview(data)[:2]]
    has_exif = False
    for marker, start, end in segments(data):
        if marker in (SOS, EOI):
            return b"".join([*kept, memoryview(data)[start:]])
        if marker == _APP1:
            if has_exif or not data.startswith(_EXIF, start + 4):
                continue
            has_exif = True
        elif marker == _APP2:
            if not data.startswith(_PROFILE, start + 4):
                continue
        elif marker not in _TABLES and marker not in (_APP0, _APP14):
            continue
        kept.append(memoryview(data)[start:end])
    return data
