"""WAV: every width, byte order and size field decodes to the exact values."""

import struct
from pathlib import Path

import numpy as np
import pytest

from shared.messages.codes import Code
from tests.audio.pcm_files import (
    CODES,
    FLOATS,
    RATE,
    N,
    assert_samples,
    chunk,
    decoded,
    extensible,
    fmt,
    integers,
    packed,
    refused,
    riff,
)
from tests.audio.tones import record, tone

TESTS = Path(__file__).parent


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


@pytest.mark.parametrize("quiet", [0, 9], ids=["loud", "quiet"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("valid", "plain"), [(24, True), (24, False), (20, False), (16, False)])
def test_valid_bits_that_are_the_lower_ones_are_found(
    tmp_path: Path, valid: int, plain: bool, order: str, quiet: int
) -> None:
    """Some drivers store the lower bits, with the sign above; the recording begins with silence."""
    big = order == ">"
    values = integers(valid, 4) >> 32 - valid + quiet
    values[: N // 2] = 0
    form = fmt(1, valid, width=4, order=order) if plain else extensible(1, 4, valid)
    if big and not plain:
        form = struct.pack(">HHIIHHHHIH", 0xFFFE, 1, RATE, 4 * RATE, 4, 32, 22, valid, 4, 1) + form[26:]
    data = riff(
        chunk(b"fmt ", form, order=order),
        chunk(b"data", packed(values, 4, big_endian=big), order=order),
        kind=b"RIFX" if big else b"RIFF",
    )
    assert_samples(decoded(tmp_path, data)[1], values << 32 - valid, 4)


@pytest.mark.parametrize("plain", [True, False])
def test_quiet_sound_in_the_upper_bits_stays_quiet(tmp_path: Path, plain: bool) -> None:
    values = integers(24, 4) >> 20 << 8
    form = fmt(1, 24, width=4) if plain else extensible(1, 4, 24)
    assert_samples(decoded(tmp_path, riff(chunk(b"fmt ", form), chunk(b"data", packed(values, 4))))[1], values, 4)


def test_more_bits_than_an_extensible_wav_states_are_kept(tmp_path: Path) -> None:
    values = integers(32, 4)
    data = riff(chunk(b"fmt ", extensible(1, 4, 24)), chunk(b"data", packed(values, 4)))
    assert_samples(decoded(tmp_path, data)[1], values, 4)


TAGS = [
    chunk(b"LIST", b"INFO" + bytes(4000)),
    chunk(b"id3 ", b"ID3" + bytes(30)) + chunk(b"LIST", b"INFO"),
    b"LIST" + struct.pack("<I", 5) + b"INFO\0",
]


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize("behind", TAGS, ids=["tags", "two chunks", "no padding"])
def test_chunks_behind_samples_of_unknown_size_are_no_sound(tmp_path: Path, behind: bytes, size: int) -> None:
    values = integers(16, 2)
    head = chunk(b"fmt ", fmt(1, 16))
    speech, sound = decoded(tmp_path, riff(head, chunk(b"data", packed(values, 2), stated=size), behind))
    assert speech.duration_s == N / RATE
    assert_samples(sound, values, 2)
    assert refused(tmp_path, riff(head, chunk(b"data", b"", stated=size), behind))[0] is Code.AUDIO_EMPTY


def test_chunks_behind_coded_sound_of_unknown_size_are_no_sound(tmp_path: Path) -> None:
    path = record(tmp_path / "x", tone(16_000, 1.0), 16_000, container="wav", codec="libmp3lame", sample_format="fltp")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = bytes(4)
    assert decoded(tmp_path, bytes(data) + TAGS[0])[0].duration_s == decoded(tmp_path, bytes(data))[0].duration_s
    head = bytes(data[: at + 4])
    assert refused(tmp_path, head + TAGS[0])[0] is Code.AUDIO_EMPTY


@pytest.mark.parametrize("behind", [b"LIST" * 1000, b"LIST\0\0\0\0" * 200_000, b"LIST\xff\xff\xff\xff"])
def test_names_of_chunks_in_samples_of_unknown_size_end_nothing_or_all(tmp_path: Path, behind: bytes) -> None:
    values = integers(16, 2)
    data = riff(chunk(b"fmt ", fmt(1, 16)), chunk(b"data", packed(values, 2), stated=0), behind)
    assert decoded(tmp_path, data)[0].duration_s >= N / RATE


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
