"""JPEG files whose end is missing: completed when only the end marker is, found out when rows of the picture are.

libjpeg fills missing rows with grey and reports nothing through Pillow. So the picture is decoded twice, with different
bytes in place of what may be missing: a complete picture needs none of them and stays the same.
"""

import hashlib
import io

import numpy as np
from PIL import Image

from stages.face.jpeg_structure import JpegStructure

_END = b"\xff\xd9"
# Bits of two kinds, enough for some blocks of any picture; neither contains a marker.
_FILLERS = (bytes(256), bytes(range(1, 255)))
_RESTARTS = [bytes((0xFF, 0xD0 + number)) for number in range(8)]
_PADDING = 16
"""Zeros at the end of a file from which they are no data: an interrupted transfer can leave them for the rest."""
_CORNER = 2
"""Pixels: further inside, interpolated colours of the rows above may show."""
_MISSING_ROWS_ARE = (127, 128)
"""The values of all channels where libjpeg has no data: of RGB and grey 128, of inverted CMYK also 127."""


class JpegTruncated(ValueError):
    """Rows or scans of the picture are missing."""


def with_end(data: bytes, structure: JpegStructure) -> bytes:
    """The JPEG file ``data`` with an end marker. Raises JpegTruncated when more than the marker is missing."""
    if structure.end is not None:
        return data
    body = data.rstrip(b"\0")
    if len(data) - len(body) < _PADDING:
        body = data
    elif body.endswith(b"\xff"):
        body += b"\0"  # the zero belongs to this byte of data
    if not structure.has_all_scans or not _is_complete(body):
        raise JpegTruncated("rows are missing")
    return body + _END


def require_rows(image: Image.Image, data: bytes, structure: JpegStructure) -> None:
    """Check that the decoded ``image`` of the JPEG file ``data`` has its last rows. Raises JpegTruncated.

    Missing rows are mid-grey: only a picture with such a corner is decoded again.
    """
    width, height = image.size
    corner = np.asarray(image.crop((width - _CORNER, height - _CORNER, width, height)))
    is_suspect = structure.end is not None and bool(np.isin(corner, _MISSING_ROWS_ARE).all())
    if is_suspect and not _is_complete(data[: structure.end]):
        raise JpegTruncated("rows are missing")


def _is_complete(body: bytes) -> bool:
    restart = _next_restart(body)  # a decoder that expects it skips all bits before it
    first, second = (_digest(body + bits + restart + bits + _END) for bits in _FILLERS)
    return first == second


def _next_restart(body: bytes) -> bytes:
    last = max(range(8), key=lambda number: body.rfind(_RESTARTS[number]))
    return _RESTARTS[(last + 1) % 8 if _RESTARTS[last] in body else 0]


def _digest(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return hashlib.sha256(np.asarray(image).data).digest()
