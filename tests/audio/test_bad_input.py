"""Invalid and inconsistent files: each is rejected with its public code."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from tests.audio.tones import record, tone, wav_bytes

RATE = 16_000


def code_of(path: Path, max_s: float = 600) -> tuple[Code, str]:
    with pytest.raises(Rejected) as caught:
        decode(path, path.with_name("sound.f32"), max_s, lambda: None)
    assert caught.value.field == "speech"
    return caught.value.code, caught.value.message


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(data)
    return path


FASTSTART = {"movflags": "+faststart"}
PCM_1S = (tone(RATE, 1.0)[0] * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"R",
        b"RIFF",
        b"not audio at all, only words " * 400,
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
        b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40,
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"OggS" + bytes(200),
        b"fLaC" + bytes(200),
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(50),
        b"\x00\x00\x00\x18ftypM4A " + bytes(300),
        b"RIFF\x24\x00\x00\x00AVI LIST" + bytes(400),
        wav_bytes(b"")[:30],
    ],
)
def test_other_content_is_unreadable(tmp_path: Path, data: bytes) -> None:
    assert code_of(write(tmp_path, data))[0] is Code.AUDIO_UNREADABLE


def test_empty_file_is_rejected(tmp_path: Path) -> None:
    assert code_of(write(tmp_path, b""))[0] is Code.AUDIO_EMPTY


def test_file_without_samples_is_rejected(tmp_path: Path) -> None:
    assert code_of(write(tmp_path, wav_bytes(b"")))[0] is Code.AUDIO_EMPTY


@pytest.mark.parametrize("seconds", [1 / RATE, 0.19])
def test_too_short_speech_is_rejected(tmp_path: Path, seconds: float) -> None:
    path = write(tmp_path, wav_bytes(PCM_1S[: 2 * round(seconds * RATE)]))
    code, message = code_of(path)
    assert code is Code.AUDIO_TOO_SHORT
    assert f"{seconds:.3f} s" in message


def test_shortest_speech_is_accepted(tmp_path: Path) -> None:
    path = write(tmp_path, wav_bytes(PCM_1S[: 2 * round(0.2 * RATE)]))
    assert decode(path, tmp_path / "sound.f32", 600, lambda: None).duration_s == pytest.approx(0.2)


def test_length_limit_is_exact(tmp_path: Path) -> None:
    path = write(tmp_path, wav_bytes(PCM_1S))
    assert decode(path, tmp_path / "sound.f32", 1.0, lambda: None).duration_s == 1.0
    assert code_of(path, max_s=0.999)[0] is Code.AUDIO_TOO_LONG


def test_truncated_wav_is_unreadable(tmp_path: Path) -> None:
    code, message = code_of(write(tmp_path, wav_bytes(PCM_1S, claimed=len(PCM_1S) * 3)))
    assert code is Code.AUDIO_UNREADABLE
    assert "truncated" in message


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "options"),
    [
        ("wav", "pcm_s16le", "s16", None),
        ("mp3", "libmp3lame", "fltp", None),
        ("ipod", "aac", "fltp", None),
        ("ipod", "aac", "fltp", FASTSTART),
        ("ogg", "libopus", "flt", None),
        ("ogg", "vorbis", "fltp", {"strict": "-2"}),
        ("flac", "flac", "s16", None),
        ("wav", "pcm_mulaw", "s16", None),
        ("aiff", "pcm_s24be", "s32", None),
        ("au", "pcm_alaw", "s16", None),
        ("ipod", "alac", "s16p", None),
        ("webm", "libopus", "flt", None),
        ("webm", "libopus", "flt", {"live": "1"}),
        ("matroska", "flac", "s16", None),
        ("matroska", "aac", "fltp", None),
        ("mp4", "aac", "fltp", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"}),
        ("mov", "pcm_s16be", "s16", None),
    ],
)
@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_truncated_file_is_unreadable(
    tmp_path: Path, container: str, codec: str, sample_format: str, options: dict[str, str] | None, kept: float
) -> None:
    whole = record(
        tmp_path / "whole",
        tone(48_000, 4.0, 2),
        48_000,
        container=container,
        codec=codec,
        sample_format=sample_format,
        options=options if codec == "vorbis" else None,
        container_options=options if codec != "vorbis" else None,
    )
    data = whole.read_bytes()
    code, message = code_of(write(tmp_path, data[: int(len(data) * kept)]))
    assert code is Code.AUDIO_UNREADABLE
    assert "truncated" in message


def test_damaged_flac_is_unreadable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3 * RATE)).astype(np.float32)
    path = record(tmp_path / "x", noise, RATE, container="flac", codec="flac", sample_format="s16")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    assert code_of(write(tmp_path, bytes(data)))[0] is Code.AUDIO_UNREADABLE


def test_samples_that_are_not_finite_are_unreadable(tmp_path: Path) -> None:
    samples = tone(RATE, 1.0)
    samples[0, 500] = np.nan
    path = record(tmp_path / "x", samples, RATE, container="wav", codec="pcm_f32le", sample_format="flt")
    code, message = code_of(path)
    assert code is Code.AUDIO_UNREADABLE
    assert "not numbers" in message


def test_loud_float_samples_are_clipped_to_full_scale(tmp_path: Path) -> None:
    samples = tone(RATE, 1.0, level=30.0)
    path = record(tmp_path / "x", samples, RATE, container="wav", codec="pcm_f32le", sample_format="flt")
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert np.abs(speech.pcm).max() <= 1.0
    assert np.abs(np.fromfile(tmp_path / "sound.f32", "<f4")).max() <= 1.0


def test_tags_in_another_encoding_are_ignored(tmp_path: Path) -> None:
    info = b"INFOINAM" + struct.pack("<I", 8) + b"caf\xe9 \xf7\xff\x00"
    data = wav_bytes(PCM_1S) + b"LIST" + struct.pack("<I", len(info)) + info
    assert decode(write(tmp_path, data), tmp_path / "sound.f32", 600, lambda: None).duration_s == 1.0


def test_video_without_sound_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w", format="mp4") as file:
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), "yuv420p")
        file.mux(video.encode(frame))
        file.mux(video.encode(None))
    code, message = code_of(path)
    assert code is Code.AUDIO_UNREADABLE
    assert "no audio track" in message


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "name"),
    [
        ("wav", "adpcm_ima_wav", "s16p", "ADPCM IMA WAV"),
        ("wav", "adpcm_ms", "s16", "ADPCM Microsoft"),
        ("aiff", "adpcm_ima_qt", "s16p", "ima4"),
        ("mp4", "ac3", "fltp", "AC-3"),
        ("matroska", "ac3", "fltp", "AC-3"),
        ("matroska", "mp2", "s16", "MP2"),
    ],
)
def test_rejected_codec_is_named_with_what_to_convert_it_to(
    tmp_path: Path, container: str, codec: str, sample_format: str, name: str
) -> None:
    path = record(tmp_path / "x", tone(48_000, 1.0), 48_000, container=container, codec=codec,
                  sample_format=sample_format)  # fmt: skip
    code, message = code_of(path)
    assert code is Code.AUDIO_UNREADABLE
    assert name in message
    assert "Convert it to FLAC, MP3 or 16-bit WAV." in message


def test_channel_and_rate_limits_are_enforced(tmp_path: Path) -> None:
    assert code_of(write(tmp_path, wav_bytes(PCM_1S, channels=200)))[0] is Code.AUDIO_UNREADABLE
    assert code_of(write(tmp_path, wav_bytes(PCM_1S, rate=1)))[0] is Code.AUDIO_UNREADABLE


def test_cancel_propagates(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def checkpoint() -> None:
        raise Stop

    with pytest.raises(Stop):
        decode(write(tmp_path, wav_bytes(PCM_1S * 3)), tmp_path / "sound.f32", 600, checkpoint)
