"""Matroska and WebM before libav reads them: whether all of the sound is there, and how much else there is.

EBML (RFC 8794) is a tree of elements: an id, a size, the content. A browser that records writes the segment and its
clusters with an unknown size, because it can't go back; then the children follow one another until a new parent begins.
Where libav can't read an element it continues with the next cluster that it finds, and reports no error.
"""

from dataclasses import dataclass
from typing import BinaryIO

from stages.audio.container import Container
from stages.audio.rejections import too_complex, unreadable

EBML = b"\x1a\x45\xdf\xa3"
_KINDS = (b"matroska", b"webm")
_HEADER_BYTES = 1024
_KIND, _SEGMENT, _CLUSTER = 0x4282, 0x18538067, 0x1F43B675
_SOUND_AND_PICTURES = frozenset((_CLUSTER, 0xA3, 0xA0, 0xEC))
"""Cluster, SimpleBlock, BlockGroup; Void, which is skipped. libav keeps everything else in memory, twenty times as
large at worst."""
_MAX_OTHER_BYTES = 16 * 1024 * 1024
_NAMES = frozenset((0x1254C367, 0x1043A770))
"""Tags and chapters. libav compares each with all before it."""
_MAX_NAME_BYTES = 256 * 1024
_MAX_ELEMENTS = 500_000
"""An hour of sound and pictures has 400 000."""
_CHECKED_ELEMENTS = 250_000
"""Up to here every block of a cluster is checked: more than half an hour, the longest speech accepted."""


@dataclass(slots=True)
class _Extent:
    """Where the elements that are being read must end; None: their parent has no size."""

    begin: int
    segment: int | None = None
    cluster: int | None = None

    def missing(self, offset: int, size: int, *, is_sound: bool) -> float:
        """Share of the segment that is missing when nothing from ``offset`` on can be read, 0..1."""
        if self.segment is not None:
            return max(0.0, (self.segment - offset) / max(self.segment - self.begin, 1))
        if is_sound or (self.cluster is not None and offset < self.cluster):
            return 1.0  # Nobody knows how much followed.
        return max(0.0, (size - offset) / (size - self.begin))


def read_matroska(file: BinaryIO, start: int, size: int) -> Container:
    """Read the elements of a Matroska file that begins at ``start`` in a file of ``size`` bytes.

    Everything from an element that can't be read to the end of the segment is missing. Raises Rejected:
    AUDIO_UNREADABLE for another kind of EBML, an element without a size, or too much besides sound.
    """
    file.seek(start)
    if _kind(file.read(_HEADER_BYTES)) not in _KINDS:
        raise unreadable("The speech file is an EBML file of an unknown kind.")
    extent, others, names, offset = _Extent(start), 0, 0, start
    for count in range(_MAX_ELEMENTS):
        file.seek(offset)
        element = _element(file.read(12))
        if element is None:
            missing = extent.missing(offset, size, is_sound=False)
            break
        name, header, length = element
        content = offset + header
        if name == _SEGMENT:
            extent = _Extent(content, None if length is None else content + length)
            offset = content
            continue
        if extent.cluster is not None and offset >= extent.cluster:
            extent.cluster = None
        if length is None:
            if name != _CLUSTER:
                raise unreadable("The speech file is damaged: an element of its container has no size.")
            offset = content
            continue
        if name not in _SOUND_AND_PICTURES:
            others += length
        if name in _NAMES:
            names += length
        if names > _MAX_NAME_BYTES:
            raise too_complex(f"more than {_MAX_NAME_BYTES // 1024} KiB of tags and chapters")
        if others > _MAX_OTHER_BYTES:
            limit = _MAX_OTHER_BYTES // 1024 // 1024
            raise unreadable(f"The speech file holds more than {limit} MiB of attachments and tags: save it without.")
        if name == _CLUSTER and count < _CHECKED_ELEMENTS:
            extent.cluster = content + length
            offset = content
            continue
        if content + length > min(size, extent.cluster or size):
            is_sound = name in _SOUND_AND_PICTURES
            is_cut = not is_sound and extent.segment is not None and extent.segment > size
            missing = extent.missing(size if is_cut else offset, size, is_sound=is_sound)
            break
        offset = content + length
    else:
        raise unreadable("The speech file has too many parts.")
    return Container("matroska", start, missing=missing)


def _kind(head: bytes) -> bytes | None:
    """The DocType of the EBML header at the start of ``head``."""
    header = _element(head)
    offset = header[1] if header else len(head)
    while element := _element(head[offset:]):
        name, length, size = element
        if size is None:
            return None
        if name == _KIND:
            return head[offset + length : offset + length + size].rstrip(b"\0")
        offset += length + size
    return None


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
