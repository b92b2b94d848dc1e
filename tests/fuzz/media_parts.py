"""The parts of media files, as the mutator changes them: chunks, boxes, elements, pages, segments and blocks."""

import struct
import zlib
from collections.abc import Callable, Sequence

from tests.fuzz.mutation import Part

_CONTAINERS = frozenset(
    (
        *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex", b"moof", b"traf"),
        *(b"iprp", b"ipco", b"iinf", b"iref", b"stsd"),
    )
)
_FULL = {b"meta": 4, b"iinf": 6, b"iref": 4, b"stsd": 8, b"dref": 8}
"""Boxes with fields before their children, bytes."""
_MAX_DEPTH = 8
_PARENTS = frozenset((0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B, 0xAE, 0xE1, 0xA0, 0x1A45DFA3, 0x1254C367))
"""Elements of EBML that have children."""


def chunks(first: int, *, big: bool) -> Callable[[bytes], Sequence[Part]]:
    """Chunks of RIFF (little-endian) and IFF: a name, a length, the content; the first one begins at ``first``."""

    def parts(data: bytes) -> list[Part]:
        found, offset = [], first
        while offset + 8 <= len(data):
            length = int.from_bytes(data[offset + 4 : offset + 8], "big" if big else "little")
            end = min(len(data), offset + 8 + length)
            found.append(Part(offset, offset + 8, end, offset + 4, 4, big))
            offset = end + length % 2
        return found

    return parts


def boxes(data: bytes) -> list[Part]:
    """Boxes of ISO media files, and those in them."""
    found: list[Part] = []

    def read(offset: int, end: int, depth: int) -> None:
        while offset + 8 <= end:
            length, name = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
            stop = min(end, offset + length) if length >= 8 else end
            found.append(Part(offset, offset + 8, stop, offset, 4))
            if (name in _CONTAINERS or name in _FULL) and depth < _MAX_DEPTH:
                read(offset + 8 + _FULL.get(name, 0), stop, depth + 1)
            offset = stop

    read(0, len(data), 0)
    return found


def elements(data: bytes) -> list[Part]:
    """Elements of Matroska, and those in them. Their lengths keep their width, so they may overflow."""
    found: list[Part] = []

    def read(offset: int, end: int, depth: int) -> None:
        while offset + 2 <= end and data[offset] >= 0x10:
            name_end = offset + 9 - data[offset].bit_length()
            if name_end >= end or not data[name_end]:
                return
            width = 9 - data[name_end].bit_length()
            content = name_end + width
            mask = (1 << 7 * width) - 1
            length = int.from_bytes(data[name_end:content], "big") & mask
            stop = min(end, content + length) if length != mask else end
            found.append(Part(offset, content, max(content, stop), name_end, width))
            name = int.from_bytes(data[offset:name_end], "big")
            if name in _PARENTS and depth < _MAX_DEPTH:
                read(content, stop, depth + 1)
            offset = max(content, stop)

    read(0, len(data), 0)
    return found


def png_chunks(data: bytes) -> list[Part]:
    """Chunks of PNG, without their checksums, which ``png_sums`` sets."""
    found, offset = [], 8
    while offset + 12 <= len(data):
        end = min(len(data), offset + 12 + int.from_bytes(data[offset : offset + 4], "big"))
        found.append(Part(offset, min(offset + 8, end - 4), end - 4, offset, 4))
        offset = end
    return found


def png_sums(data: bytes) -> bytes:
    """The PNG with the right checksum in every chunk."""
    fixed = [data[:8]]
    offset = 8
    while offset + 12 <= len(data):
        end = offset + 8 + int.from_bytes(data[offset : offset + 4], "big")
        if end + 4 > len(data):
            break
        fixed += [data[offset:end], struct.pack(">I", zlib.crc32(data[offset + 4 : end]))]
        offset = end + 4
    return b"".join(fixed) + data[offset:]


def jpeg_segments(data: bytes) -> list[Part]:
    """Segments of the header of a JPEG; the scan is one part without a length."""
    found, offset = [], 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = min(len(data), offset + 2 + max(length, 2))
        found.append(Part(offset, min(offset + 4, end), end, offset + 2, 2))
        if data[offset + 1] == 0xDA:
            scan = data.find(b"\xff\xc4", end)
            scan = scan if scan > 0 else len(data)
            found.append(Part(end, end, scan))
            end = scan
        offset = end
    return found


def ogg_pages(data: bytes) -> list[Part]:
    """Pages of Ogg; ``ogg_sums`` sets their checksums."""
    found, offset = [], 0
    while data[offset : offset + 4] == b"OggS" and offset + 27 <= len(data):
        content = offset + 27 + data[offset + 26]
        end = min(len(data), content + sum(data[offset + 27 : content]))
        found.append(Part(offset, min(content, end), end))
        offset = end
    return found


def ogg_sums(data: bytes) -> bytes:
    """The Ogg file with the right checksum in every page."""
    fixed = bytearray(data)
    for page in ogg_pages(data):
        fixed[page.start + 22 : page.start + 26] = bytes(4)
        checksum = 0
        for byte in fixed[page.start : page.end]:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[checksum >> 24 ^ byte]
        fixed[page.start + 22 : page.start + 26] = checksum.to_bytes(4, "little")
    return bytes(fixed)


def _ogg_table() -> list[int]:
    """The polynomial 0x04c11db7, most significant bit first (RFC 3533)."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_OGG_TABLE = _ogg_table()


def gif_blocks(data: bytes) -> list[Part]:
    """Blocks of a GIF: extensions and frames, without a length that holds for the whole."""
    if len(data) < 13:
        return []
    found, offset = [], 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while offset < len(data) and data[offset] in (0x21, 0x2C):
        start, is_frame = offset, data[offset] == 0x2C
        if is_frame and offset + 10 < len(data):
            flags = data[offset + 9]
            offset += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        else:
            offset += 2
        while offset < len(data) and data[offset]:
            offset += data[offset] + 1
        offset = min(len(data), offset + 1)
        found.append(Part(start, min(start + (10 if is_frame else 2), offset), offset))
    return found


def access_units(data: bytes) -> list[Part]:
    """NAL units of an H.264 byte stream."""
    starts = []
    at = data.find(b"\0\0\1")
    while at >= 0:
        starts.append(at)
        at = data.find(b"\0\0\1", at + 3)
    ends = [*starts[1:], len(data)] if starts else []
    return [Part(start, min(start + 4, end), end) for start, end in zip(starts, ends, strict=True)]
