"""How many scans a JPEG holds (ISO/IEC 10918-1, annex B).

A progressive picture is decoded in passes over all of its pixels, and a scan of 75 bytes is a whole pass: a file within
every limit of size can ask for hours. Encoders write 3 to 20 scans.
"""

import re
from pathlib import Path

MAX_SCANS = 200

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
"""The next marker from a position on; a zero after 0xFF makes it a byte of data."""
_SOS, _EOI = 0xDA, 0xD9
_ALONE = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))
"""TEM, SOI, RSTn: without a length."""


def count_scans(path: Path, limit: int = MAX_SCANS) -> int:
    """Scans of the first picture in a JPEG file, `limit` + 1 when there are more; 0 for what is no JPEG.

    Segments are passed over by their length, so a preview inside them does not count, nor what follows the picture.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return 0
        data = file.read()
    at, scans = 0, 0
    while scans <= limit and (found := _MARKER.search(data, at)):
        at, marker = found.end(), found[1][0]
        if marker == _EOI:
            break
        if marker in _ALONE:
            continue
        scans += marker == _SOS
        at += int.from_bytes(data[at : at + 2], "big")
    return scans
