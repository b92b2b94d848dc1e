"""Counts the scans of a JPEG (ISO/IEC 10918-1, annex B).

A progressive picture is decoded in passes over all of its pixels, and a scan of 75 bytes is a whole pass: a file within
every size limit can take hours to decode. Encoders write 3 to 20 scans.
"""

import re
from pathlib import Path

MAX_SCANS = 200

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
"""A marker; 0xFF followed by zero is a byte of data."""
_SOS, _EOI = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
"""TEM, SOI, RSTn."""


def count_scans(path: Path, limit: int = MAX_SCANS) -> int:
    """Count the scans of the first picture in a JPEG file, at most ``limit`` + 1; 0 for other files.

    Segments are skipped by their length, so a preview inside them does not count, nor what follows the picture.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return 0
        data = file.read()
    offset, scans = 0, 0
    while scans <= limit and (match := _MARKER.search(data, offset)):
        offset, marker = match.end(), match[1][0]
        if marker == _EOI:
            break
        if marker in _WITHOUT_LENGTH:
            continue
        scans += marker == _SOS
        offset += int.from_bytes(data[offset : offset + 2], "big")
    return scans
