"""PCM in WAV, AIFF and AU: every width, byte order and companding decodes to the exact values."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from stages.audio.sample_streams import Speech
from tests.audio.tones import record

RATE = 48_000  # The rate of the sound stream, which therefore holds the decoded values unchanged.
N = 12_000
PCM_GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
TESTS = Path(__file__).parent

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


@pytest.mark.parametrize(
    ("width", "valid"), [(2, 12), (2, 16), (3, 18), (3, 20), (3, 24), (4, 16), (4, 20), (4, 24), (4, 25), (4, 32)]
)
def test_valid_bits_of_an_extensible_wav_are_the_upper_ones(tmp_path: Path, width: int, valid: int) -> None:
    values = integers(valid, width)
    data = riff(chunk(b"fmt ", extensible(1, width, valid)), chunk(b"data", packed(values, width)))
    speech, sound = decoded(tmp_path, data)
    assert speech.codec == f"pcm_s{8 * width}le"
    assert_samples(sound, values, width)


def test_extensible_wav_with_24_bits_in_32_as_a_recorder_wrote_it(tmp_path: Path) -> None:
    data = (TESTS / "samples" / "24in32.wav").read_bytes()
    _, sound = decoded(tmp_path, data)
    np.testing.assert_array_equal(sound[:, 0], np.frombuffer(data[68:], "<i4").astype(np.float32) / np.float32(2**31))


@pytest.mark.parametrize("valid", [0, 8])
def test_eight_bits_are_unsigned(tmp_path: Path, valid: int) -> None:
    form = extensible(1, 1, valid) if valid else fmt(1, 8)
    _, sound = decoded(tmp_path, riff(chunk(b"fmt ", form), chunk(b"data", CODES.tobytes())))
    np.testing.assert_array_equal(sound[:, 0], (CODES.astype(np.float32) - 128) / 128)


@pytest.mark.parametrize(("bits", "width"), [(12, 2), (20, 3), (24, 4), (20, 4)])
def test_width_of_a_plain_wav_is_that_of_its_blocks(tmp_path: Path, bits: int, width: int) -> None:
    values = integers(bits, width)
    data = riff(chunk(b"fmt ", fmt(1, bits, width=width)), chunk(b"data", packed(values, width)))
    assert_samples(decoded(tmp_path, data)[1], values, width)


@pytest.mark.parametrize("block", [0, 1, 2, 3, 7])
def test_blocks_too_small_for_their_samples_are_ignored(tmp_path: Path, block: int) -> None:
    values = np.tile(integers(16, 2), 2)
    form = struct.pack("<HHIIHH", 1, 2, RATE, 0, block, 16)
    _, sound = decoded(tmp_path, riff(chunk(b"fmt ", form), chunk(b"data", packed(values, 2))))
    np.testing.assert_array_equal(sound.reshape(-1), values.astype(np.float32) / 32768)


@pytest.mark.parametrize("make", [lambda tag, width: extensible(tag, width, 8 * width), lambda tag, w: fmt(tag, 8 * w)])
@pytest.mark.parametrize("width", [4, 8])
def test_floats_keep_their_values(tmp_path: Path, make: object, width: int) -> None:
    assert callable(make)
    data = riff(chunk(b"fmt ", make(3, width)), chunk(b"data", FLOATS.astype(f"<f{width}").tobytes()))
    np.testing.assert_array_equal(decoded(tmp_path, data)[1][:, 0], FLOATS.astype(np.float32))


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


@pytest.mark.parametrize("width", [2, 3, 4])
def test_big_endian_wav_is_accepted(tmp_path: Path, width: int) -> None:
    values = integers(8 * width, width)
    form = chunk(b"fmt ", fmt(1, 8 * width, order=">"), order=">")
    data = riff(form, chunk(b"data", packed(values, width, big_endian=True), order=">"), kind=b"RIFX")
    assert_samples(decoded(tmp_path, data)[1], values, width)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize("known", [True, False])
def test_wav_with_sizes_of_64_bits_is_accepted(tmp_path: Path, kind: bytes, known: bool) -> None:
    values = integers(16, 2)
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 2 * N if known else 0, N, 0))
    sound_chunk = chunk(b"data", packed(values, 2), stated=0xFFFFFFFF)
    after = chunk(b"LIST", b"INFO" + bytes(400)) if known else b""
    speech, sound = decoded(tmp_path, riff(sizes, chunk(b"fmt ", fmt(1, 16)), sound_chunk, after, kind=kind))
    assert speech.duration_s == N / RATE
    assert_samples(sound, values, 2)


def test_truncated_wav_with_sizes_of_64_bits_is_unreadable(tmp_path: Path) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 5 * N, N, 0))
    data = riff(sizes, chunk(b"fmt ", fmt(1, 16)), chunk(b"data", bytes(2 * N), stated=0xFFFFFFFF), kind=b"RF64")
    code, message = refused(tmp_path, data)
    assert code is Code.AUDIO_UNREADABLE
    assert "truncated" in message


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_extensible_wav_of_unknown_size_is_accepted(tmp_path: Path, size: int) -> None:
    values = integers(24, 4)
    data = riff(chunk(b"fmt ", extensible(1, 4, 24)), chunk(b"data", packed(values, 4), stated=size))
    assert_samples(decoded(tmp_path, data)[1], values, 4)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("odd", [1, 3, 401])
def test_chunks_around_the_samples_are_skipped(tmp_path: Path, padded: bool, odd: int) -> None:
    """Some programs leave out the padding of a chunk of odd length."""
    values = integers(16, 2)
    note = b"note" + struct.pack("<I", odd) + b"x" * odd + bytes(padded)
    data = riff(note, chunk(b"fmt ", fmt(1, 16)), note, chunk(b"data", packed(values, 2)), note)
    assert_samples(decoded(tmp_path, data)[1], values, 2)


def test_format_after_the_samples_is_found(tmp_path: Path) -> None:
    values = integers(16, 2)
    assert_samples(decoded(tmp_path, riff(chunk(b"data", packed(values, 2)), chunk(b"fmt ", fmt(1, 16))))[1], values, 2)


def test_incomplete_last_sample_is_ignored(tmp_path: Path) -> None:
    values = integers(24, 3)
    data = riff(chunk(b"fmt ", fmt(1, 24)), chunk(b"data", packed(values, 3) + b"\x01\x02"))
    assert_samples(decoded(tmp_path, data)[1], values, 3)


@pytest.mark.parametrize(("third", "heard"), [(0x4, True), (0x8, False)])
def test_speakers_of_an_extensible_wav_decide_the_mix(tmp_path: Path, third: int, heard: bool) -> None:
    """Sound of the centre is mixed to both sides; that of the effects channel is left out."""
    samples = np.zeros((N, 3), "<i2")
    samples[:, 2] = 9000
    form = extensible(1, 2, 16, channels=3, mask=0x1 | 0x2 | third)
    _, sound = decoded(tmp_path, riff(chunk(b"fmt ", form), chunk(b"data", samples.tobytes())))
    assert bool(sound.any()) is heard


@pytest.mark.parametrize("form", [fmt(1, 24, width=4), fmt(1, 32) + b"\x02\0\x01\0"])
def test_floats_that_cool_edit_labels_as_integers_are_refused(tmp_path: Path, form: bytes) -> None:
    data = riff(chunk(b"fmt ", form), chunk(b"data", (FLOATS * 8e6).astype("<f4").tobytes()))
    code, message = refused(tmp_path, data)
    assert code is Code.AUDIO_UNREADABLE
    assert "floating point" in message


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
