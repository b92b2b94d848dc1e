"""WAV, AIFF and AU files of chosen samples, byte for byte."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from stages.audio.sample_streams import Speech

RATE = 48_000  # The rate of the sound stream, which therefore holds the decoded values unchanged.
N = 12_000
PCM_GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

Decoded = NDArray[np.float32]


def decoded(tmp_path: Path, data: bytes) -> tuple[Speech, Decoded]:
    """The speech, and its samples [n, channels] at 48 kHz."""
    path = tmp_path / "speech"
    path.write_bytes(data)
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    return speech, np.fromfile(speech.sound, "<f4").reshape(-1, speech.sound_channels)


def refused(tmp_path: Path, data: bytes) -> tuple[Code, str]:
    with pytest.raises(Rejected) as caught:
        decoded(tmp_path, data)
    return caught.value.code, caught.value.message


def chunk(name: bytes, content: bytes, *, order: str = "<", stated: int | None = None) -> bytes:
    length = len(content) if stated is None else stated
    return name + struct.pack(order + "I", length) + content + bytes(len(content) % 2)


def fmt(tag: int, bits: int, *, channels: int = 1, width: int | None = None, order: str = "<") -> bytes:
    block = channels * (width or (bits + 7) // 8)
    return struct.pack(order + "HHIIHH", tag, channels, RATE, RATE * block, block, bits)


def extensible(tag: int, width: int, valid: int, *, channels: int = 1, mask: int = 4) -> bytes:
    plain = fmt(0xFFFE, 8 * width, channels=channels)
    return plain + struct.pack("<HHIH", 22, valid, mask, tag) + PCM_GUID


def riff(*chunks: bytes, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack(">I" if kind == b"RIFX" else "<I", len(body)) + body


def aiff(bits: int, data: bytes, *, kind: bytes | None = None, channels: int = 1, frames: int = N) -> bytes:
    rate = struct.pack(">HQ", 16383 + 15, RATE << 48)
    common = struct.pack(">HIH", channels, frames, bits) + rate + (kind + b"\0\0" if kind else b"")
    sound = chunk(b"SSND", bytes(8) + data, order=">")
    body = (b"AIFC" if kind else b"AIFF") + chunk(b"COMM", common, order=">") + sound
    return b"FORM" + struct.pack(">I", len(body)) + body


def au(encoding: int, data: bytes, *, stated: int | None = None, comment: bytes = b"") -> bytes:
    length = len(data) if stated is None else stated
    return struct.pack(">4sIIIII", b".snd", 24 + len(comment), length, encoding, RATE, 1) + comment + data


def integers(valid: int, width: int) -> NDArray[np.int64]:
    """Random samples of ``valid`` bits in the upper bits of ``width`` bytes."""
    low, high = -(1 << valid - 1), 1 << valid - 1
    return np.random.default_rng(valid).integers(low, high, N) << 8 * width - valid


def packed(values: NDArray[np.int64], width: int, *, big_endian: bool = False) -> bytes:
    """Signed integers as bytes."""
    raw = values.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    return (raw[:, ::-1] if big_endian else raw).tobytes()


def assert_samples(sound: Decoded, values: NDArray[np.int64], width: int) -> None:
    """float32 has 24 bits of precision: the values are equal up to that."""
    np.testing.assert_allclose(sound[:, 0], values / float(1 << 8 * width - 1), rtol=2**-23, atol=0)


def mu_law(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ITU-T G.711, table 2a."""
    inverted = ~codes.astype(np.int64) & 0xFF
    values = (((inverted & 15) << 3) + 132 << (inverted >> 4 & 7)) - 132
    return np.where(inverted & 0x80, -values, values) / 32768


def a_law(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """ITU-T G.711, table 1a."""
    even = codes.astype(np.int64) ^ 0x55
    segment, step = even >> 4 & 7, (even & 15) << 4
    values = np.where(segment == 0, step + 8, step + 0x108 << np.maximum(segment - 1, 0))
    return np.where(even & 0x80, values, -values) / 32768


CODES = np.random.default_rng(7).integers(0, 256, N).astype(np.uint8)
FLOATS = np.random.default_rng(8).uniform(-1, 1, N)
