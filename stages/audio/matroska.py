"""Matroska and WebM before libav reads them: whether the end is there, and how much else than sound there is.

EBML (RFC 8794) is a tree of elements: an id, a size, the content. A browser that records writes the segment and its
clusters with an unknown size, because it can't go back; then the children follow one another until a new parent begins.
"""

from typing import BinaryIO

from stages.audio.container import Container
from stages.audio.rejections import unreadable

EBML = b"\x1a\x45\xdf\xa3"
_KINDS = (b"\x42\x82\x88matroska", b"\x42\x82\x84webm")
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_SOUND_AND_PICTURES = frozenset((_CLUSTER, 0xA3, 0xA0, 0xEC))
"""Cluster, SimpleBlock, BlockGroup; Void, which is skipped. libav keeps everything else in memory, twenty times as
large at worst."""
_MAX_OTHER_BYTES = 16 * 1024 * 1024
_MAX_ELEMENTS = 500_000
"""An hour of sound and pictures has 400 000."""


def read_matroska(file: BinaryIO, start: int, size: int) -> Container:
    """Read the elements of a Matroska file that begins at ``start`` in a file of ``size`` bytes.

    Raises Rejected: AUDIO_UNREADABLE for another kind of EBML, damaged elements, or too much besides sound.
    """
    file.seek(start)
    head = file.read(64)
    if not any(kind in head for kind in _KINDS):
        raise unreadable("The speech file is an EBML file of an unknown kind.")
    missing, others, offset = 0.0, 0, start
    for _ in range(_MAX_ELEMENTS):
        file.seek(offset)
        element = _element(file.read(12))
        if element is None:
            break
        name, header, length = element
        offset += header
        if name == _SEGMENT:
            if length is not None:
                missing = max(0.0, 1 - (size - offset) / max(length, 1))
            continue
        if length is None:
            if name != _CLUSTER:
                raise unreadable("The speech file is damaged: an element of its container has no size.")
            continue
        if name not in _SOUND_AND_PICTURES:
            others += length
        if others > _MAX_OTHER_BYTES:
            limit = _MAX_OTHER_BYTES // 1024 // 1024
            raise unreadable(f"The speech file holds more than {limit} MiB of attachments and tags: save it without.")
        if offset + length > size:
            # Without the segment's size nobody knows how much followed.
            missing = missing or float(name in _SOUND_AND_PICTURES)
            break
        offset += length
    else:
        raise unreadable("The speech file has too many parts.")
    return Container("matroska", start, missing=missing)


def _element(data: bytes) -> tuple[int, int, int | None] | None:
    """Id, bytes of the header, bytes of the content (None: unknown) of the element that begins here."""
    if not data or not data[0] or data[0] < 0x10:
        return None
    id_length = 9 - data[0].bit_length()
    if len(data) <= id_length or not data[id_length]:
        return None
    size_length = 9 - data[id_length].bit_length()
    content = data[id_length : id_length + size_length]
    if len(content) < size_length:
        return None
    unknown = (1 << 7 * size_length) - 1
    length = int.from_bytes(content, "big") & unknown
    return int.from_bytes(data[:id_length], "big"), id_length + size_length, None if length == unknown else length
