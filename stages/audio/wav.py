"""WAV and its relatives (RIFF, RIFX, RF64, BW64): finds the samples, and how wide their containers are.

libav's own WAV demuxer takes the number of valid bits for the width of a sample: it reads 24 valid bits in 32 as
another format. Valid bits are the upper ones of their container (Microsoft, WAVEFORMATEXTENSIBLE), which therefore
decodes as samples of full width; where the samples show that they are the lower ones, with a gain.
"""

import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from stages.audio.chunks import Chunk, bytes_before_chunks, chunks
from stages.audio.container import Container, PcmLayout
from stages.audio.pcm import A_LAW, MU_LAW, Encoding, floats, integers, pcm_container
from stages.audio.rejections import empty, unreadable
from stages.audio.valid_bits import Place, place

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


@dataclass(frozen=True, slots=True)
class _Format:
    """The ``fmt`` chunk."""

    encoding: Encoding | None
    """None: not bare samples; libav's WAV demuxer reads them, if their decoder is allowed."""
    layout: PcmLayout
    valid: int
    """Valid bits, where the samples must show which ones of their 4 bytes these are; else 0."""
    gain: float
    """Of the samples when these bits are the lower ones."""
    may_be_float: bool
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
    data: Chunk | None = None
    for chunk in chunks(file, start + 12, size, order):
        if chunk.name == b"fmt " and not form:
            file.seek(chunk.first)
            form = _read_format(file.read(min(chunk.length, 40)), order)
        elif chunk.name == b"data" and not data:
            data = chunk
        if form and data:
            break
    if not data or not form:
        raise unreadable("The speech file is a WAV without a chunk of samples: it is damaged or truncated.")
    first, stated = data.first, data.stated
    if stated is None:
        stated = bytes_before_chunks(file, first, size, order)
    used = Place.UPPER
    if form.valid:
        used = place(file, first, min(stated, size - first), form.valid, big_endian=order == ">")
    if form.encoding is None or (form.may_be_float and used is Place.ALL):
        if not stated:
            raise empty("The speech file holds no samples.")
        end = first + stated if data.stated is None else None
        return Container("wav", start, end, missing=max(0.0, 1 - (size - first) / stated))
    container = pcm_container(form.encoding, form.layout, first, stated, size)
    return replace(container, gain=form.gain) if used is Place.LOWER else container


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
    valid = bits
    if extensible:
        valid = int.from_bytes(body[18:20], "big" if big else "little")
    is_cool_edit = not extensible and bits == 32 and body[16:20] == b"\x02\0\x01\0"
    is_unsure = tag == _PCM and width == 4 and (1 < valid <= 24 or is_cool_edit)
    return _Format(
        encodings.get(tag),
        PcmLayout(rate, channels, mask),
        valid=min(valid, 24) if is_unsure else 0,
        gain=float(1 << max(0, 32 - valid)),
        may_be_float=not extensible and (bits == 24 or is_cool_edit) and is_unsure,
    )
