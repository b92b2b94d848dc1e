"""WAV and its relatives (RIFF, RIFX, RF64, BW64): finds the samples, and how wide their containers are.

libav's own WAV demuxer takes the number of valid bits for the width of a sample: it reads 24 valid bits in 32 as
another format. Valid bits are the upper ones of their container (Microsoft, WAVEFORMATEXTENSIBLE), which therefore
decodes as samples of full width.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from stages.audio.container import Container, PcmLayout
from stages.audio.pcm import A_LAW, MU_LAW, Encoding, floats, integers, pcm_container, stated_bytes
from stages.audio.rejections import unreadable

_MAX_CHUNKS = 1000
"""A real file has a dozen; a hostile one with 8 bytes each takes minutes."""
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_NAMES = (b"data", b"fmt ", b"fact", b"LIST", b"JUNK", b"bext", b"iXML", b"id3 ", b"PEAK", b"cue ", b"smpl")


@dataclass(frozen=True, slots=True)
class _Format:
    """The ``fmt`` chunk."""

    encoding: Encoding | None
    """None: not bare samples; libav's WAV demuxer reads them, if their decoder is allowed."""
    layout: PcmLayout
    cool_edit: bool
    """Labelled as PCM, but Cool Edit writes floats of its own range under this label."""


def is_wav(head: bytes) -> bool:
    """Whether a file that begins like this is a WAV."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def read_wav(file: BinaryIO, start: int, size: int) -> Container:
    """Read the chunks of a WAV that begins at ``start`` in a file of ``size`` bytes.

    Raises Rejected: AUDIO_EMPTY without a sample, AUDIO_UNREADABLE without chunks of format and samples.
    """
    file.seek(start)
    order = ">" if file.read(4) == b"RIFX" else "<"
    form: _Format | None = None
    first, stated = 0, None
    offset, long_size = start + 12, 0
    for _ in range(_MAX_CHUNKS):
        if offset + 8 > size or (form and first):
            break
        file.seek(offset)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if name == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:16], "little")
        elif name == b"fmt " and not form:
            form = _read_format(file.read(min(length, 40)), order)
        elif name == b"data" and not first:
            known = length == 0xFFFFFFFF and 0 < long_size < 1 << 63
            first, stated = offset + 8, long_size if known else stated_bytes(length)
            length = size if stated is None else stated
        offset += 8 + length
        if length % 2:
            offset += _padding(file, offset)
    else:
        raise unreadable(f"The speech file has more than {_MAX_CHUNKS} chunks before its sound.")
    if not first or not form:
        raise unreadable("The speech file is a WAV without a chunk of samples: it is damaged or truncated.")
    if form.encoding is None or (form.cool_edit and not _is_integer(file, first)):
        return Container("wav", start, missing=max(0.0, 1 - (size - first) / stated) if stated else 0.0)
    return pcm_container(form.encoding, form.layout, first, stated, size)


def _read_format(body: bytes, order: str) -> _Format:
    if len(body) < 16:
        raise unreadable("The speech file is a WAV with an incomplete header: it is damaged or truncated.")
    tag, channels, rate, _, block, bits = struct.unpack(order + "HHIIHH", body[:16])
    mask, extensible = 0, tag == _EXTENSIBLE and len(body) >= 26
    if extensible:
        mask, tag = struct.unpack(order + "IH", body[20:26])
    width = (bits + 7) // 8
    if channels and block % channels == 0 and block // channels > width:
        width = block // channels
    big = order == ">"
    encodings = {
        _PCM: integers(width, big_endian=big, signed_bytes=False),
        _FLOAT: floats(width, big_endian=big),
        _A_LAW: A_LAW,
        _MU_LAW: MU_LAW,
    }
    unsure = bits == 24 or (bits == 32 and body[16:20] == b"\x02\0\x01\0")
    cool_edit = not extensible and tag == _PCM and width == 4 and unsure
    return _Format(encodings.get(tag), PcmLayout(rate, channels, mask), cool_edit)


def _padding(file: BinaryIO, offset: int) -> int:
    """0 or 1: a chunk of odd length is padded, but some programs leave the padding out."""
    file.seek(offset)
    following = file.read(5)
    return 0 if following[:4] in _NAMES and following[1:] not in _NAMES else 1


def _is_integer(file: BinaryIO, first: int) -> bool:
    """Whether the lowest byte of 4-byte little-endian samples is unused, as in integers of 24 bits."""
    file.seek(first)
    return not any(file.read(1 << 16)[::4])
