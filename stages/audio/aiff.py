"""AIFF and AIFF-C (Apple, 1988 and 1991), and AU (Sun, also called SND): finds the samples and how they are stored."""

import struct
from typing import BinaryIO

from stages.audio.chunks import bytes_before_chunks, chunks
from stages.audio.container import Container, PcmLayout
from stages.audio.pcm import A_LAW, MU_LAW, Encoding, floats, integers, pcm_container, stated_bytes
from stages.audio.rejections import other_codec, unreadable

_BIG, _LITTLE = (b"NONE", b"twos", b"in24", b"in32"), (b"sowt", b"42ni", b"23ni")
_WIDTHS = {b"in24": 3, b"in32": 4, b"42ni": 3, b"23ni": 4}
_AU_HEADER = struct.Struct(">4sIIIII")
_AU_INTEGERS = {2: 1, 3: 2, 4: 3, 5: 4}
_AU_FLOATS = {6: 4, 7: 8}


def is_aiff(head: bytes) -> bool:
    """Whether a file that begins like this is an AIFF or AIFF-C."""
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")


def read_aiff(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of an AIFF that begins at ``start`` in a file of ``size`` bytes.

    Raises Rejected: AUDIO_EMPTY without a sample, AUDIO_UNREADABLE for a codec that is not accepted and for a file
    without chunks of format and samples.
    """
    file.seek(start + 8)
    compressed = file.read(4) == b"AIFC"
    common, first, stated = b"", 0, None
    for chunk in chunks(file, start + 12, size, ">"):
        file.seek(chunk.first)
        if chunk.name == b"COMM" and not common:
            common = file.read(min(chunk.length, 22))
        elif chunk.name == b"SSND" and not first:
            skipped = 8 + int.from_bytes(file.read(4), "big")
            first, stated = chunk.first + skipped, stated_bytes(chunk.length - skipped)
        if common and first:
            break
    if len(common) < 18 or not first:
        raise unreadable("The speech file is an AIFF without a chunk of samples: it is damaged or truncated.")
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", common[:18])
    rate = mantissa >> 16446 - exponent if 16383 <= exponent <= 16446 else 0
    encoding = _aiff_encoding(common[18:22] if compressed else b"NONE", (bits + 7) // 8)
    if stated is None:
        stated = frames * channels * encoding.width or bytes_before_chunks(file, first, size, ">")
    return pcm_container(encoding, PcmLayout(rate, channels), first, stated, size)


def read_au(file: BinaryIO, start: int, size: int) -> Container:
    """Read the header of an AU file that begins at ``start`` in a file of ``size`` bytes.

    Raises Rejected: AUDIO_EMPTY without a sample, AUDIO_UNREADABLE for a codec that is not accepted.
    """
    file.seek(start)
    header = file.read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        raise unreadable("The speech file is an AU file with an incomplete header.")
    _, offset, length, number, rate, channels = _AU_HEADER.unpack(header)
    encoding = {1: MU_LAW, 27: A_LAW}.get(number)
    encoding = encoding or integers(_AU_INTEGERS.get(number, 0), big_endian=True, signed_bytes=True)
    encoding = encoding or floats(_AU_FLOATS.get(number, 0), big_endian=True)
    if encoding is None:
        raise other_codec(f"number {number} of the AU format")
    first = start + max(offset, _AU_HEADER.size)
    return pcm_container(encoding, PcmLayout(rate, channels), first, stated_bytes(length), size)


def _aiff_encoding(kind: bytes, width: int) -> Encoding:
    encoding: Encoding | None = None
    if kind in _BIG + _LITTLE:
        encoding = integers(_WIDTHS.get(kind, width), big_endian=kind in _BIG, signed_bytes=True)
    elif kind == b"raw " and width == 1:
        encoding = integers(1, big_endian=True, signed_bytes=False)
    elif kind.lower() in (b"fl32", b"fl64"):
        encoding = floats(int(kind[2:]) // 8, big_endian=True)
    elif kind.lower() in (b"ulaw", b"alaw"):
        encoding = MU_LAW if kind.lower() == b"ulaw" else A_LAW
    if encoding is None:
        raise other_codec(f'"{kind.decode("latin-1").strip()}" in an AIFF file')
    return encoding
