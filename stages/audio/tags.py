"""Tags in front of the sound: ID3v2 and APEv2, any number of them, and the zeros that programs leave behind them."""

import mmap
import re
from dataclasses import dataclass
from typing import BinaryIO

from stages.audio.mpeg_frames import first_adts, first_mp3, is_adts, is_mp3
from stages.audio.rejections import too_complex

_SEARCHED_BYTES = 1024 * 1024
"""How far behind the tags the sound is looked for."""
_LONGEST_FRAMES = 3 * 8192
"""Bytes of the frames that prove a sound: one of ADTS has at most 8191."""
_MAX_INNER_BYTES = 256 * 1024
"""Tags between the frames of an AAC stream, as a radio station sends them. libav compares each of their entries with
all before it."""
_INNER_TAG = re.compile(rb"ID3[\x02-\x04]\x00.([\x00-\x7f]{4})", re.DOTALL)
_MAX_TAGS = 1000
"""A real file has one or two; a hostile one with 10 bytes each takes minutes."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Where the tags of a file end."""

    end: int
    """Offset after the last tag and its padding."""
    last: int | None = None
    """Offset after the header of the last tag."""


def skip_tags(file: BinaryIO) -> Tags:
    """Find the end of the tags at the start of a file, as they state it."""
    offset, last = 0, None
    for _ in range(_MAX_TAGS):
        file.seek(offset)
        header = file.read(32)
        length = _tag_length(header)
        if length is None:
            break
        last = offset + 10
        offset += length
    file.seek(offset)
    head = file.read(_SEARCHED_BYTES)
    zeros = len(head) - len(head.lstrip(b"\0"))
    return Tags(offset + zeros if 16 <= zeros < len(head) else offset, last)


def find_frames(file: BinaryIO, tags: Tags) -> tuple[str, int] | None:
    """Look for MP3 or ADTS frames up to 1 MiB behind the tags: "mp3" or "aac", and the offset of the first frame.

    A tag may state more bytes than it has; frames inside it that continue behind its end are sound.
    """
    places = [(tags.end, 0)]
    if tags.last is not None and tags.last < tags.end:
        places.insert(0, (tags.last, tags.end))
    for begin, reach in places:
        file.seek(begin)
        data = file.read(_SEARCHED_BYTES + _LONGEST_FRAMES)
        for demuxer, first, is_run in (("mp3", first_mp3, is_mp3), ("aac", first_adts, is_adts)):
            offset = first(data)
            if offset is not None and is_run(data, offset, max(0, reach - begin - offset)):
                return demuxer, begin + offset
    return None


def require_few_inner_tags(file: BinaryIO, start: int) -> None:
    """Check the tags between the frames from ``start`` on. Raises Rejected: AUDIO_UNREADABLE."""
    total = 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for found in _INNER_TAG.finditer(data, start):
            total += sum(byte << shift for byte, shift in zip(found[1], (21, 14, 7, 0), strict=True))
            if total > _MAX_INNER_BYTES:
                raise too_complex(f"more than {_MAX_INNER_BYTES // 1024} KiB of tags between its frames")


def _tag_length(header: bytes) -> int | None:
    """Bytes of the tag with this header; None when it is no tag."""
    if len(header) >= 10 and header[:3] == b"ID3":  # The size is four bytes of 7 bits each.
        footer = 10 if header[5] & 0x10 else 0
        return 10 + (header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]) + footer
    if len(header) == 32 and header[:8] == b"APETAGEX":
        return 32 + int.from_bytes(header[12:16], "little")
    return None
