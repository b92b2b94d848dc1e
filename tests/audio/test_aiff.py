"""AIFF and AU, and what they share with WAV: companding, headers that make no sense, files without samples."""

import struct
from pathlib import Path

import numpy as np
import pytest

from shared.messages.codes import Code
from tests.audio.pcm_files import (
    CODES,
    FLOATS,
    N,
    a_law,
    aiff,
    assert_samples,
    au,
    chunk,
    decoded,
    extensible,
    fmt,
    integers,
    mu_law,
    packed,
    refused,
    riff,
)
from tests.audio.tones import record


@pytest.mark.parametrize("bits", [8, 12, 16, 20, 24, 32])
@pytest.mark.parametrize("kind", [None, b"NONE", b"twos"])
def test_aiff_integers_are_big_endian(tmp_path: Path, bits: int, kind: bytes | None) -> None:
    width = (bits + 7) // 8
    values = integers(bits, width)
    assert_samples(decoded(tmp_path, aiff(bits, packed(values, width, big_endian=True), kind=kind))[1], values, width)


@pytest.mark.parametrize(("kind", "bits"), [(b"sowt", 16), (b"sowt", 24), (b"42ni", 24), (b"23ni", 32)])
def test_aiff_integers_of_other_order_are_accepted(tmp_path: Path, kind: bytes, bits: int) -> None:
    values = integers(bits, bits // 8)
    assert_samples(decoded(tmp_path, aiff(bits, packed(values, bits // 8), kind=kind))[1], values, bits // 8)


@pytest.mark.parametrize(("kind", "width"), [(b"fl32", 4), (b"FL32", 4), (b"fl64", 8), (b"FL64", 8)])
def test_aiff_floats_are_accepted(tmp_path: Path, kind: bytes, width: int) -> None:
    data = aiff(8 * width, FLOATS.astype(f">f{width}").tobytes(), kind=kind)
    np.testing.assert_array_equal(decoded(tmp_path, data)[1][:, 0], FLOATS.astype(np.float32))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 96_000])
def test_aiff_states_its_rate_as_an_extended_float(tmp_path: Path, rate: int) -> None:
    samples = np.zeros((1, rate), np.float32)
    path = record(tmp_path / "x", samples, rate, container="aiff", codec="pcm_s16be", sample_format="s16")
    speech, _ = decoded(tmp_path, path.read_bytes())
    assert (speech.sample_rate, speech.duration_s) == (rate, 1.0)


@pytest.mark.parametrize("frames", [0, 1, 10 * N])
def test_samples_of_an_aiff_decide_its_length(tmp_path: Path, frames: int) -> None:
    values = integers(16, 2)
    data = aiff(16, packed(values, 2, big_endian=True), frames=frames)
    assert_samples(decoded(tmp_path, data)[1], values, 2)


def test_aiff_of_unknown_length_is_accepted(tmp_path: Path) -> None:
    values = integers(16, 2)
    data = bytearray(aiff(16, packed(values, 2, big_endian=True), frames=0))
    at = data.index(b"SSND") + 4
    for size in (0, 8, 0x7FFF_FFFF, 0xFFFF_FFFF):
        data[at : at + 4] = struct.pack(">I", size)
        assert_samples(decoded(tmp_path, bytes(data))[1], values, 2)


def test_chunks_behind_samples_of_unknown_length_are_no_sound(tmp_path: Path) -> None:
    values = integers(16, 2)
    tag = chunk(b"ID3 ", b"ID3" + bytes(301), order=">")
    for raw in (packed(values, 2, big_endian=True), b""):
        data = bytearray(aiff(16, raw, frames=0) + tag)
        at = data.index(b"SSND") + 4
        for size in (0, 0xFFFF_FFFF):
            data[at : at + 4] = struct.pack(">I", size)
            if raw:
                assert_samples(decoded(tmp_path, bytes(data))[1], values, 2)
            else:
                assert refused(tmp_path, bytes(data))[0] is Code.AUDIO_EMPTY


def test_unsigned_samples_of_an_aifc_have_8_bits_only(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        decoded(tmp_path, aiff(8, CODES.tobytes(), kind=b"raw "))[1][:, 0], (CODES.astype(np.float32) - 128) / 128
    )
    code, message = refused(tmp_path, aiff(16, CODES.tobytes(), kind=b"raw "))
    assert code is Code.AUDIO_UNREADABLE
    assert '"raw" in an AIFF file' in message


@pytest.mark.parametrize(("encoding", "width"), [(2, 1), (3, 2), (4, 3), (5, 4)])
@pytest.mark.parametrize("comment", [b"", b"recorded by hand\0\0\0\0"])
def test_au_integers_are_big_endian(tmp_path: Path, encoding: int, width: int, comment: bytes) -> None:
    values = integers(8 * width, width)
    raw = packed(values, width, big_endian=True)
    for stated in (None, 0xFFFF_FFFF):
        assert_samples(decoded(tmp_path, au(encoding, raw, stated=stated, comment=comment))[1], values, width)


@pytest.mark.parametrize(("encoding", "width"), [(6, 4), (7, 8)])
def test_au_floats_are_accepted(tmp_path: Path, encoding: int, width: int) -> None:
    _, sound = decoded(tmp_path, au(encoding, FLOATS.astype(f">f{width}").tobytes()))
    np.testing.assert_array_equal(sound[:, 0], FLOATS.astype(np.float32))


def test_au_of_another_encoding_is_refused(tmp_path: Path) -> None:
    code, message = refused(tmp_path, au(23, bytes(N)))
    assert code is Code.AUDIO_UNREADABLE
    assert "number 23 of the AU format" in message


@pytest.mark.parametrize("law", ["mu", "a"])
@pytest.mark.parametrize("kind", ["wav", "extensible", "aifc", "au"])
def test_companded_samples_follow_g711(tmp_path: Path, law: str, kind: str) -> None:
    tag, name, number = {"mu": (7, b"ulaw", 1), "a": (6, b"alaw", 27)}[law]
    raw = CODES.tobytes()
    data = {
        "wav": riff(chunk(b"fmt ", fmt(tag, 8)), chunk(b"data", raw)),
        "extensible": riff(chunk(b"fmt ", extensible(tag, 1, 8)), chunk(b"data", raw)),
        "aifc": aiff(16, raw, kind=name),
        "au": au(number, raw),
    }[kind]
    speech, sound = decoded(tmp_path, data)
    assert speech.codec == {"mu": "pcm_mulaw", "a": "pcm_alaw"}[law]
    np.testing.assert_allclose(sound[:, 0], (mu_law if law == "mu" else a_law)(CODES), atol=0, rtol=1e-7)


@pytest.mark.parametrize(
    "data", [riff(chunk(b"fmt ", fmt(1, 16)), chunk(b"data", b"", stated=N)), aiff(16, b""), au(3, b"", stated=N)]
)
def test_file_that_ends_after_its_header_is_truncated(tmp_path: Path, data: bytes) -> None:
    code, message = refused(tmp_path, data)
    assert code is Code.AUDIO_UNREADABLE
    assert "truncated" in message


@pytest.mark.parametrize(
    "data",
    [
        riff(chunk(b"fmt ", fmt(1, 16))),
        riff(chunk(b"data", bytes(N))),
        riff(chunk(b"fmt ", b"\1\0\1\0"), chunk(b"data", bytes(N))),
        riff(chunk(b"fmt ", fmt(1, 16, channels=0)), chunk(b"data", bytes(N))),
        b"FORM\0\0\0\0AIFF" + bytes(100),
        aiff(16, bytes(N))[:30],
        aiff(40, bytes(N)),
        aiff(16, bytes(N), channels=0),
        aiff(16, bytes(N), channels=9),
        aiff(16, bytes(N)).replace(struct.pack(">H", 16383 + 15), struct.pack(">H", 16383 + 60)),
        aiff(16, bytes(N)).replace(struct.pack(">H", 16383 + 15), b"\xff\xff"),
        b".snd" + bytes(10),
        b"RIFF\xff\xff\xff\x7fWAVE" + b"junk\0\0\0\0" * 5000,
        b"FORM\xff\xff\xff\x7fAIFF" + b"ANNO\0\0\0\0" * 5000,
    ],
)
def test_header_that_makes_no_sense_is_unreadable(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data)[0] is Code.AUDIO_UNREADABLE


@pytest.mark.parametrize(
    "data",
    [
        riff(chunk(b"fmt ", fmt(1, 16)), chunk(b"data", b"")),
        riff(chunk(b"fmt ", fmt(1, 16)), chunk(b"data", b"\1")),
        aiff(16, b"", frames=0),
        au(3, b""),
    ],
)
def test_header_without_samples_is_empty(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data)[0] is Code.AUDIO_EMPTY
