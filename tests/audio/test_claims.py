"""What a header states of the length is a claim: decoded seconds decide."""

from pathlib import Path

import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from stages.audio.sample_streams import Speech
from tests.audio.tones import record, tone, wav_bytes

RATE = 16_000
TEN_HOURS = 10 * 3600 * RATE


def flac(tmp_path: Path, seconds: float, claimed: int) -> bytes:
    """A FLAC whose STREAMINFO (RFC 9639, section 8.2) states ``claimed`` samples in its 36 bits."""
    path = tmp_path / "whole.flac"
    data = bytearray(
        record(path, tone(RATE, seconds), RATE, container="flac", codec="flac", sample_format="s16").read_bytes()
    )
    assert data[:4] == b"fLaC"
    data[21] = data[21] & 0xF0 | claimed >> 32
    data[22:26] = (claimed & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def decoded(tmp_path: Path, data: bytes, max_s: float = 600) -> Speech:
    path = tmp_path / "speech"
    path.write_bytes(data)
    return decode(path, tmp_path / "sound.f32", max_s, lambda: None)


def refused(tmp_path: Path, data: bytes, max_s: float = 600) -> Code:
    with pytest.raises(Rejected) as caught:
        decoded(tmp_path, data, max_s)
    return caught.value.code


def test_recording_that_claims_to_be_short_is_as_long_as_its_samples(tmp_path: Path) -> None:
    assert decoded(tmp_path, flac(tmp_path, 2.0, RATE // 2)).duration_s == pytest.approx(2.0, abs=0.01)
    assert refused(tmp_path, flac(tmp_path, 2.0, RATE // 2), max_s=1) is Code.AUDIO_TOO_LONG


def test_recording_that_claims_ten_hours_is_truncated_and_not_too_long(tmp_path: Path) -> None:
    assert refused(tmp_path, flac(tmp_path, 1.0, TEN_HOURS)) is Code.AUDIO_UNREADABLE
    assert refused(tmp_path, wav_bytes(bytes(2 * RATE), claimed=2 * TEN_HOURS)) is Code.AUDIO_UNREADABLE


def test_recording_that_claims_nothing_is_as_long_as_its_samples(tmp_path: Path) -> None:
    assert decoded(tmp_path, flac(tmp_path, 1.0, 0)).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("samples", [1, RATE // 5 - 1])
def test_one_sample_and_one_frame_are_too_short(tmp_path: Path, samples: int) -> None:
    assert refused(tmp_path, wav_bytes(bytes(2 * samples))) is Code.AUDIO_TOO_SHORT
    assert refused(tmp_path, flac(tmp_path, samples / RATE, 0)) is Code.AUDIO_TOO_SHORT


@pytest.mark.parametrize(
    ("container", "codec", "form"),
    [("mp3", "libmp3lame", "fltp"), ("ogg", "libopus", "flt"), ("ipod", "aac", "fltp"), ("adts", "aac", "fltp")],
)
def test_one_frame_of_every_codec_is_too_short_or_no_recording(
    tmp_path: Path, container: str, codec: str, form: str
) -> None:
    path = record(tmp_path / "whole", tone(RATE, 0.02), RATE, container=container, codec=codec, sample_format=form)
    assert refused(tmp_path, path.read_bytes()) in (Code.AUDIO_TOO_SHORT, Code.AUDIO_UNREADABLE)
