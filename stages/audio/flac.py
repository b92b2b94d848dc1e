"""The metadata of a FLAC file (RFC 9639) before libav reads it: how much there is."""

from typing import BinaryIO

from stages.audio.rejections import too_many_tags

MAX_BLOCKS = 1000
"""A real file has five or six; a hostile one with 4 bytes each takes minutes."""
MAX_TAGS = 10_000
"""libav compares each tag with all before it."""
_COMMENT, _LAST = 4, 0x80


def require_few_tags(file: BinaryIO, start: int) -> None:
    """Check the metadata blocks of a FLAC that begins at ``start``. Raises Rejected: AUDIO_UNREADABLE."""
    offset, tags = start + 4, 0
    for _ in range(MAX_BLOCKS):
        file.seek(offset)
        header = file.read(4)
        if len(header) < 4:
            return
        length = int.from_bytes(header[1:], "big")
        if header[0] & ~_LAST == _COMMENT:
            tags += file.read(length).count(b"=")  # NAME=value
        if tags > MAX_TAGS:
            raise too_many_tags(MAX_TAGS)
        if header[0] & _LAST:
            return
        offset += 4 + length
    raise too_many_tags(MAX_BLOCKS)
