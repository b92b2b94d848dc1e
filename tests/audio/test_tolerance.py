"""Files with unusual data around the samples, as programs and people produce them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from stages.audio.mpeg_frames import first_mp3, mp3_frame, stated_seconds
from stages.audio.sample_streams import Speech
from tests.audio.tones import record, tone, wav_bytes

RATE = 44_100
SECONDS = 3.0
JUNK = np.random.default_rng(0).bytes(50_000)
ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
LYRICS3 = b"LYRICSBEGININD0000200LYR00010some words000044LYRICS200"


def decoded(tmp_path: Path, data: bytes, max_s: float = 600) -> Speech:
    path = tmp_path / "speech"
    path.write_bytes(data)
    return decode(path, tmp_path / "sound.f32", max_s, lambda: None)


def refused(tmp_path: Path, data: bytes, max_s: float = 600) -> tuple[Code, str]:
    with pytest.raises(Rejected) as caught:
        decoded(tmp_path, data, max_s)
    return caught.value.code, caught.value.message


def mp3(tmp_path: Path, *, rate: int = RATE, seconds: float = SECONDS, counted: bool = True) -> bytes:
    """An MP3; without its first frame, the Info tag, nothing says how long it is."""
    samples = tone(rate, seconds, 2)
    path = record(tmp_path / "x", samples, rate, container="mp3", codec="libmp3lame", sample_format="fltp")
    data = path.read_bytes()
    at = first_mp3(data)
    assert at is not None and stated_seconds(data, at) is not None
    if counted:
        return data
    frame = mp3_frame(data, at)
    assert frame is not None
    bare = data[at + frame.length :]
    assert stated_seconds(bare, 0) is None
    return bare


@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    "tail",
    [b"\0", bytes(1000), bytes(50_000), JUNK[:3000], JUNK, LYRICS3, LYRICS3 + ID3V1],
    ids=["byte", "zeros", "many-zeros", "junk", "much-junk", "lyrics", "lyrics-id3v1"],
)
def test_data_after_an_mp3_is_ignored(tmp_path: Path, rate: int, counted: bool, tail: bytes) -> None:
    speech = decoded(tmp_path, mp3(tmp_path, rate=rate, counted=counted) + tail)
    assert speech.duration_s == pytest.approx(SECONDS, abs=3 * 576 / rate + 0.02)


@pytest.mark.parametrize("inside", [JUNK[:200], b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_data_inside_an_mp3_of_known_length_is_skipped(tmp_path: Path, inside: bytes) -> None:
    data = mp3(tmp_path)
    middle = len(data) // 2
    speech = decoded(tmp_path, data[:middle] + inside + data[middle:])
    assert speech.duration_s == pytest.approx(SECONDS, abs=0.1)


def test_missing_frames_of_an_mp3_of_known_length_are_damage(tmp_path: Path) -> None:
    data = bytearray(mp3(tmp_path))
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    code, message = refused(tmp_path, bytes(data))
    assert code is Code.AUDIO_UNREADABLE
    assert "truncated or damaged" in message


def test_data_inside_an_mp3_of_unknown_length_is_damage(tmp_path: Path) -> None:
    data = mp3(tmp_path, counted=False)
    code, message = refused(tmp_path, data + b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + data)
    assert code is Code.AUDIO_UNREADABLE
    assert "after 3.0 s" in message


def test_concatenated_mp3s_are_one_speech(tmp_path: Path) -> None:
    """The first one's tag counts only its own frames."""
    data = mp3(tmp_path)
    assert decoded(tmp_path, data + data).duration_s == pytest.approx(2 * SECONDS, abs=0.1)


@pytest.mark.parametrize(("lacking_s", "whole"), [(0.4, True), (0.7, False), (1.9, False)])
@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_half_a_second_may_be_missing_at_the_end_of_a_long_file(
    tmp_path: Path, kind: str, lacking_s: float, whole: bool
) -> None:
    samples = tone(16_000, 100.0)
    codec, sample_format = {"wav": ("pcm_s16le", "s16"), "mp3": ("libmp3lame", "fltp")}[kind]
    data = record(
        tmp_path / "x", samples, 16_000, container=kind, codec=codec, sample_format=sample_format
    ).read_bytes()
    cut = data[: round(len(data) * (1 - lacking_s / 100))]
    if whole:
        assert decoded(tmp_path, cut).duration_s == pytest.approx(100 - lacking_s, abs=0.1)
    else:
        assert refused(tmp_path, cut)[0] is Code.AUDIO_UNREADABLE


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0x7FFF_FFDA, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFE, 0xFFFF_FFFF])
def test_wav_written_into_a_pipe_is_accepted(tmp_path: Path, size: int) -> None:
    """Every program leaves its own size when it can't go back to write it: the samples decide."""
    pcm = (tone(16_000, 1.0)[0] * 32767).astype("<i2").tobytes()
    assert decoded(tmp_path, wav_bytes(pcm, claimed=size)).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("container", "codec", "form", "rate", "options"),
    [
        ("ipod", "aac", "fltp", RATE, None),
        ("adts", "aac", "fltp", RATE, None),
        ("matroska", "aac", "fltp", RATE, None),
        ("mp3", "libmp3lame", "fltp", RATE, None),
        ("flac", "flac", "s16", RATE, None),
        ("ipod", "alac", "s16p", RATE, None),
        ("ogg", "libopus", "flt", 48_000, None),
        ("webm", "libopus", "flt", 48_000, None),
        ("mp4", "libopus", "flt", 48_000, None),
        ("webm", "vorbis", "fltp", RATE, {"strict": "-2"}),
        ("amr", "libopencore_amrnb", "s16", 8000, {"b": "12200"}),
        ("3gp", "libopencore_amrnb", "s16", 8000, {"b": "12200"}),
    ],
)
def test_codec_padding_does_not_exceed_the_limit(
    tmp_path: Path, container: str, codec: str, form: str, rate: int, options: dict[str, str] | None
) -> None:
    """A recording of exactly the limit is accepted, and comes out no longer than that."""
    samples = tone(rate, SECONDS, 2 if codec == "vorbis" else 1)
    data = record(
        tmp_path / "x", samples, rate, container=container, codec=codec, sample_format=form, options=options
    ).read_bytes()
    speech = decoded(tmp_path, data, max_s=SECONDS)
    assert speech.duration_s == pytest.approx(SECONDS, abs=1e-6)
    assert len(speech.pcm) == SECONDS * 16_000
    assert speech.sound.stat().st_size == SECONDS * 48_000 * 4 * speech.sound_channels
    assert refused(tmp_path, data, max_s=SECONDS - 0.1)[0] is Code.AUDIO_TOO_LONG


def test_number_of_skipped_chunks_is_limited(tmp_path: Path) -> None:
    code, message = refused(tmp_path, b"RIFF\xff\xff\xff\x7fWAVE" + b"junk\0\0\0\0" * 5000)
    assert (code, "chunks" in message) == (Code.AUDIO_UNREADABLE, True)
    tags = b"ID3\x04\0\0\0\0\0\0" * 200_000 + mp3(tmp_path)
    assert refused(tmp_path, tags)[0] is Code.AUDIO_UNREADABLE


def test_a_dozen_chunks_are_accepted(tmp_path: Path) -> None:
    pcm = (tone(16_000, 1.0)[0] * 32767).astype("<i2").tobytes()
    whole = wav_bytes(pcm)
    chunks = b"".join(b"note" + struct.pack("<I", 3) + b"abc\0" for _ in range(12))
    assert decoded(tmp_path, whole[:36] + chunks + whole[36:]).duration_s == 1.0
