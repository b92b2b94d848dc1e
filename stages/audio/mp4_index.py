"""The index of an MP4 (ISO/IEC 14496-12) before libav reads it: how much work it is.

libav reads all of it before the first packet, with loops inside loops: it compares each tag with all before it, moves
the entries of all later fragments for one that comes late, and copies a track's entries for each of its edits.
"""

import re
from typing import BinaryIO

from stages.audio.mp4 import box
from stages.audio.rejections import too_complex, too_many_tags

MAX_BOXES = 60_000
"""Boxes at the top: a fragmented file has two or three for each second or so."""
MAX_INDEX_BYTES = 64 << 20
"""Everything but the media: half an hour of sound and video has 3 MB, a cover some more."""
MAX_RUNS, MAX_EDITS, MAX_TAGS = 50_000, 1000, 5000
"""Runs of samples in fragments; edits of all tracks, of which a file has one or two each; tags."""
_MEDIA = frozenset((b"mdat", b"free", b"skip", b"wide"))
_TAG_LISTS = re.compile(rb"udta|ilst|keys")


def require_simple_index(file: BinaryIO, start: int, size: int) -> None:
    """Check the index of an MP4 that begins at ``start`` in a file of ``size`` bytes.

    Raises Rejected: AUDIO_UNREADABLE. A box that is cut passes: `mp4_is_cut` and the decoder find that out.
    """
    offset, total, runs, edits, tags = start, 0, 0, 0, 0
    for _ in range(MAX_BOXES):
        length, name = box(file, offset)
        length = min(length or size, size - offset)
        if length < 8 or len(name) < 4:
            return
        if name not in _MEDIA:
            total += length
            if total > MAX_INDEX_BYTES:
                raise too_complex(f"an index of more than {MAX_INDEX_BYTES >> 20} MiB")
            file.seek(offset)
            data = file.read(length)
            runs += data.count(b"trun")
            edits += _edits(data)
            tags += _tags(data)
        if runs > MAX_RUNS:
            raise too_complex(f"more than {MAX_RUNS} runs of samples")
        if edits > MAX_EDITS:
            raise too_complex(f"more than {MAX_EDITS} edits")
        if tags > MAX_TAGS:
            raise too_many_tags(MAX_TAGS)
        offset += length
    raise too_complex(f"more than {MAX_BOXES} parts")


def _edits(data: bytes) -> int:
    """Entries of the edit lists (`elst`: version and flags, number of entries, 12 or 20 bytes each)."""
    edits, at = 0, data.find(b"elst")
    while at >= 4 and edits <= MAX_EDITS:
        length = int.from_bytes(data[at - 4 : at], "big")
        edits += min(int.from_bytes(data[at + 8 : at + 12], "big"), length // 12) or 1
        at = data.find(b"elst", at + 4)
    return edits


def _tags(data: bytes) -> int:
    """Boxes in the lists of tags."""
    tags = 0
    for found in _TAG_LISTS.finditer(data):
        end = found.start() - 4 + int.from_bytes(data[max(0, found.start() - 4) : found.start()], "big")
        # The names of `keys` follow a version and a number.
        at = found.end() + (8 if found[0] == b"keys" else 0)
        while at + 8 <= min(end, len(data)) and tags <= MAX_TAGS:
            length = int.from_bytes(data[at : at + 4], "big")
            if length < 8:
                break
            tags += 1
            at += length
        if tags > MAX_TAGS:
            break
    return tags
