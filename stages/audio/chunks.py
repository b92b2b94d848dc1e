"""Chunks of RIFF and IFF files: a name, a length, the content; in front of the samples and behind them."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stages.audio.pcm import stated_bytes
from stages.audio.rejections import unreadable

_MAX_CHUNKS = 1000
"""A real file has a dozen; a hostile one with 8 bytes each takes minutes."""
_NAMES = frozenset(
    (
        *(b"data", b"fmt ", b"fact", b"LIST", b"JUNK", b"bext", b"iXML", b"id3 ", b"PEAK", b"cue ", b"smpl", b"_PMX"),
        *(b"ID3 ", b"COMM", b"FVER", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"MARK", b"INST", b"COMT", b"APPL", b"CHAN"),
    )
)
"""Names of usual chunks."""
_NAME = re.compile(b"|".join(re.escape(name) for name in sorted(_NAMES)))
_TAIL_BYTES = 1024 * 1024
"""How long the chunks behind samples of unknown length may be."""
_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Chunk:
    """The header of a chunk."""

    name: bytes
    first: int
    """Offset of the content."""
    length: int
    """Bytes of the content, as stated."""
    stated: int | None
    """As ``length``; None for a length that is none, as a program writes that can't go back."""


def chunks(file: BinaryIO, offset: int, size: int, order: str) -> Iterator[Chunk]:
    """The chunks from ``offset`` on in a file of ``size`` bytes; ``order``: of the bytes, "<" or ">".

    Raises Rejected: AUDIO_UNREADABLE when they are too many.
    """
    long_size = 0
    for _ in range(_MAX_CHUNKS):
        if offset + 8 > size:
            return
        file.seek(offset)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if name == b"ds64":  # Of a RF64: the length of the samples in 64 bits.
            long_size = int.from_bytes(file.read(16)[8:16], "little")
        is_long = length == _UNKNOWN and 0 < long_size < 1 << 62
        length = long_size if is_long else length
        yield Chunk(name, offset + 8, length, length if is_long else stated_bytes(length))
        offset += 8 + length
        if length % 2 and offset < size:
            offset += _padding(file, offset)
    raise unreadable(f"The speech file has more than {_MAX_CHUNKS} chunks before its sound.")


def bytes_before_chunks(file: BinaryIO, first: int, size: int, order: str) -> int:
    """Bytes of samples of unknown length from ``first`` on: up to the usual chunks that end with the file."""
    file.seek(first)
    header = file.read(8)
    if header[:4] in _NAMES and len(header) == 8 and first + 8 + _length(header, 0, order) <= size:
        return 0
    begin = max(first, size - _TAIL_BYTES)
    file.seek(begin)
    tail = file.read()
    begins: dict[int, int] = {}
    for found in _NAME.finditer(tail, 0, max(0, len(tail) - 4)):
        at = found.start()
        length = _length(tail, at, order)
        begins |= {at + 8 + length: at, at + 8 + length + length % 2: at}
    end = len(tail)
    while end in begins:
        end = begins[end]
    return begin + end - first


def _length(data: bytes, at: int, order: str) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little" if order == "<" else "big")


def _padding(file: BinaryIO, offset: int) -> int:
    """0 or 1: a chunk of odd length is padded, but some programs leave the padding out."""
    file.seek(offset)
    following = file.read(5)
    return 0 if following[:4] in _NAMES and following[1:] not in _NAMES else 1
