"""Ogg (RFC 3533): whether all pages are there. libav skips missing and damaged pages without an error."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stages.audio.rejections import too_complex, too_many_tags

_READ_BYTES = 64 * 1024
_HEADER = struct.Struct("<4sBBqIIIB")
_BEGINS, _ENDS = 2, 4
_NO_POSITIONS = (0, -1)
"""A page of headers has position 0, one on which no packet ends -1."""
_JUNK_BYTES = 512
"""An ID3v1 tag behind the last page has 128 bytes."""
_MAX_PAGES = 200_000
"""Half an hour, the longest speech accepted, has at most 90 000."""
_MAX_TAGS = 10_000
"""libav compares each tag with all before it."""
_HEADER_PACKETS = 3
"""Packets at the start of a stream, among them that of its tags."""


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
    body: int = 0
    """Offset of the content."""
    packets: int = 0
    """How many packets end on it."""


def ogg_is_cut(file: BinaryIO, start: int, size: int) -> bool:
    """Whether pages of an Ogg file that begins at ``start`` are missing: at its end, or between two of a stream.

    A stream begins again with each part of a chain. A gap behind the headers is none: a radio server sends each
    listener the headers first, then the pages of that moment. Raises Rejected: AUDIO_UNREADABLE for too many pages or
    tags.
    """
    last: _Page | None = None
    previous: dict[int, _Page] = {}
    packets: dict[int, int] = {}
    tags = 0
    for count, page in enumerate(_pages(file, start)):
        if count == _MAX_PAGES:
            raise too_complex(f"more than {_MAX_PAGES} pages")
        before_page = 0 if page.flags & _BEGINS else packets.get(page.stream, 0)
        packets[page.stream] = before_page + page.packets
        if before_page < _HEADER_PACKETS:
            file.seek(page.body)
            tags += file.read(page.end - page.body).count(b"=")  # NAME=value
        if tags > _MAX_TAGS:
            raise too_many_tags(_MAX_TAGS)
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
        lengths = header[_HEADER.size : _HEADER.size + segments]
        body = offset + _HEADER.size + segments
        end = body + sum(lengths)
        yield _Page(end, flags, position, stream, number, body, segments - lengths.count(255))
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
