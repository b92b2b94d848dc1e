"""Ogg (RFC 3533): whether all pages are there. libav skips missing and damaged pages without an error."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_READ_BYTES = 64 * 1024
_HEADER = struct.Struct("<4sBBqIIIB")
_BEGINS, _ENDS = 2, 4
_NO_POSITIONS = (0, -1)
"""A page of headers has position 0, one on which no packet ends -1."""
_JUNK_BYTES = 512
"""An ID3v1 tag behind the last page has 128 bytes."""
_MAX_PAGES = 200_000
"""Half an hour, the longest speech accepted, has at most 90 000."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The header of a page."""

    end: int
    """Offset after the page, as it states it."""
    flags: int
    position: int
    """Samples of its stream up to the end of this page."""
    stream: int
    number: int
    """Pages of its stream before this one."""


def ogg_is_cut(file: BinaryIO, start: int, size: int) -> bool:
    """Whether pages of an Ogg file that begins at ``start`` are missing: at its end, or between two of a stream.

    A stream begins again with each part of a chain. A gap behind the headers is none: a radio server sends each
    listener the headers first, then the pages of that moment.
    """
    last: _Page | None = None
    previous: dict[int, _Page] = {}
    for count, page in enumerate(_pages(file, start)):
        if count == _MAX_PAGES:
            return False
        before = previous.get(page.stream)
        counts = before is not None and before.position not in _NO_POSITIONS and not page.flags & _BEGINS
        if before is not None and counts and page.number > before.number + 1:
            return True
        previous[page.stream] = last = page
    if last is None or last.end > size:
        return True
    return not last.flags & _ENDS and size - last.end > _JUNK_BYTES


def _pages(file: BinaryIO, start: int) -> Iterator[_Page]:
    """The pages up to the end of the file, or to the first incomplete one."""
    offset = _find(file, start)
    while offset is not None:
        file.seek(offset)
        header = file.read(_HEADER.size + 255)
        if len(header) < _HEADER.size:
            yield _Page(offset + _HEADER.size, 0, 0, 0, 0)
            return
        _, _, flags, position, stream, number, _, segments = _HEADER.unpack_from(header)
        body = sum(header[_HEADER.size : _HEADER.size + segments])
        end = offset + _HEADER.size + segments + body
        yield _Page(end, flags, position, stream, number)
        offset = _find(file, end)


def _find(file: BinaryIO, offset: int) -> int | None:
    """Offset of the next page; None when none follows."""
    while True:
        file.seek(offset)
        data = file.read(4)
        if data == b"OggS":
            return offset
        data += file.read(_READ_BYTES)
        at = data.find(b"OggS")
        if at >= 0:
            return offset + at
        if len(data) < _READ_BYTES:
            return None
        offset += len(data) - 3
