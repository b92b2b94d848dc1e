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
