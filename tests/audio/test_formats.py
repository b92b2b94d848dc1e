"""Every accepted format has the right length, pitch and level."""

from pathlib import Path

import numpy as np
import pytest

from stages.audio.decode import decode
from tests.audio.tones import HZ, loudest_hz, record, tone

LOSSLESS_S, LOSSY_S = 0.001, 0.040

Case = tuple[str, str, str, int, int, dict[str, str] | None, float]
WAV: list[Case] = [
    ("wav", codec, sample_format, rate, channels, None, LOSSLESS_S)
    for codec, sample_format in (
        ("pcm_u8", "u8"),
        ("pcm_s16le", "s16"),
        ("pcm_s24le", "s32"),
        ("pcm_s32le", "s32"),
        ("pcm_f32le", "flt"),
        ("pcm_f64le", "dbl"),
    )
    for rate, channels in ((16_000, 1), (44_100, 2))
]
WAV += [("wav", "pcm_s16le", "s16", rate, 1, None, LOSSLESS_S) for rate in (8000, 11_025, 22_050, 32_000, 96_000)]
FLAC: list[Case] = [
    ("flac", "flac", "s16", rate, ch, None, LOSSLESS_S) for rate, ch in ((8000, 1), (44_100, 2), (48_000, 1))
]
FLAC += [("flac", "flac", "s32", 96_000, 2, None, LOSSLESS_S)]
MP3: list[Case] = [
    ("mp3", "libmp3lame", "fltp", rate, channels, None, LOSSY_S)
    for rate, channels in ((8000, 1), (16_000, 2), (22_050, 1), (44_100, 2), (48_000, 1))
]
AAC: list[Case] = [
    ("ipod", "aac", "fltp", rate, channels, None, LOSSY_S)
    for rate, channels in ((8000, 1), (16_000, 2), (44_100, 2), (48_000, 1))
]
# A bare AAC stream does not say how much of it is the encoder's delay and padding: up to two frames of 1024 samples.
AAC += [("adts", "aac", "fltp", 44_100, 2, None, 2 * 1024 / 44_100)]
OGG: list[Case] = [
    ("ogg", "libopus", "flt", rate, ch, None, LOSSY_S) for rate, ch in ((8000, 1), (16_000, 2), (48_000, 2))
]
OGG += [("ogg", "vorbis", "fltp", rate, 2, {"strict": "-2"}, LOSSY_S) for rate in (22_050, 44_100, 48_000)]
OGG += [("ogg", "flac", "s16", 44_100, 2, None, LOSSY_S)]
CASES = WAV + FLAC + MP3 + AAC + OGG


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "rate", "channels", "options", "tolerance"),
    CASES,
    ids=[f"{c[0]}-{c[1]}-{c[3]}-{c[4]}" for c in CASES],
)
def test_format_keeps_length_and_tone(
    tmp_path: Path,
    container: str,
    codec: str,
    sample_format: str,
    rate: int,
    channels: int,
    options: dict[str, str] | None,
    tolerance: float,
) -> None:
    seconds = 1.7
    path = record(
        tmp_path / "no_suffix_needed",
        tone(rate, seconds, channels),
        rate,
        container=container,
        codec=codec,
        sample_format=sample_format,
        options=options,
    )
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)

    assert abs(speech.duration_s - seconds) <= tolerance
    # Opus always decodes at 48 kHz.
    assert (speech.sample_rate, speech.channels) == (48_000 if codec == "libopus" else rate, channels)
    assert len(speech.pcm) == round(speech.duration_s * 16_000)
    sound = np.fromfile(tmp_path / "sound.f32", "<f4").reshape(-1, speech.sound_channels)
    assert speech.sound_channels == channels
    assert len(sound) == round(speech.duration_s * 48_000)
    assert loudest_hz(speech.pcm, 16_000) == pytest.approx(HZ, abs=1.0)
    assert loudest_hz(sound[:, -1], 48_000) == pytest.approx(HZ, abs=1.0)
    # The codecs' own changes of level stay under 1 dB.
    middle = speech.pcm[8000:16_000]
    assert 20 * np.log10(np.sqrt(np.mean(middle**2)) / (0.4 / 2**0.5)) == pytest.approx(0, abs=1.0)


def test_there_are_twenty_formats() -> None:
    assert len({case[:5] for case in CASES}) == len(CASES) >= 20


@pytest.mark.parametrize(
    ("container", "codec", "sample_format"),
    [("wav", "pcm_s16le", "s16"), ("flac", "flac", "s16"), ("mp3", "libmp3lame", "fltp"), ("ipod", "aac", "fltp")],
)
def test_start_of_the_speech_is_kept(tmp_path: Path, container: str, codec: str, sample_format: str) -> None:
    """Encoder delay is taken off: a click stays within 2 ms of its place."""
    samples = np.zeros((1, 44_100), np.float32)
    samples[0, 22_050:22_060] = 0.9
    path = record(tmp_path / "click", samples, 44_100, container=container, codec=codec, sample_format=sample_format)
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert int(np.abs(speech.pcm).argmax()) / 16_000 == pytest.approx(0.5, abs=0.002)
    sound = np.fromfile(tmp_path / "sound.f32", "<f4")
    assert int(np.abs(sound).argmax()) / 48_000 == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(
    ("container", "codec", "sample_format"), [("mp3", "libmp3lame", "fltp"), ("mp4", "aac", "fltp")]
)
def test_cover_picture_is_ignored(tmp_path: Path, container: str, codec: str, sample_format: str) -> None:
    path = record(
        tmp_path / "with_cover",
        tone(44_100, 1.0),
        44_100,
        container=container,
        codec=codec,
        sample_format=sample_format,
        cover=True,
    )
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert speech.duration_s == pytest.approx(1.0, abs=LOSSY_S)


def test_stereo_is_kept_and_analysed_as_its_mean(tmp_path: Path) -> None:
    left, right = tone(48_000, 1.0)[0], np.zeros(48_000, np.float32)
    path = record(
        tmp_path / "x", np.stack([left, right]), 48_000, container="wav", codec="pcm_f32le", sample_format="flt"
    )
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    sound = np.fromfile(tmp_path / "sound.f32", "<f4").reshape(-1, 2)
    np.testing.assert_allclose(sound, np.stack([left, right], axis=1), atol=1e-6)
    assert np.abs(speech.pcm[2000:14_000]).max() == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize("channels", range(3, 9))
@pytest.mark.parametrize(
    ("container", "codec", "sample_format"), [("wav", "pcm_f32le", "flt"), ("flac", "flac", "s16")]
)
def test_surround_is_mixed_to_stereo_without_clipping(
    tmp_path: Path, channels: int, container: str, codec: str, sample_format: str
) -> None:
    path = record(
        tmp_path / "x",
        tone(48_000, 1.7, channels=channels, level=1.0),
        48_000,
        container=container,
        codec=codec,
        sample_format=sample_format,
    )
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    sound = np.fromfile(tmp_path / "sound.f32", "<f4").reshape(-1, 2)
    assert (speech.channels, speech.sound_channels, speech.duration_s) == (channels, 2, 1.7)
    np.testing.assert_allclose(np.abs(sound).max(axis=0), 1.0, atol=2e-3)
    assert loudest_hz(sound[:, 0], 48_000) == pytest.approx(HZ, abs=1.0)


def test_channels_keep_their_order(tmp_path: Path) -> None:
    """A tone on the front left speaker alone is heard on the left alone."""
    samples = np.zeros((8, 48_000), np.float32)
    samples[0] = tone(48_000, 1.0)[0]
    path = record(tmp_path / "x", samples, 48_000, container="wav", codec="pcm_f32le", sample_format="flt")
    decode(path, tmp_path / "sound.f32", 600, lambda: None)
    sound = np.fromfile(tmp_path / "sound.f32", "<f4").reshape(-1, 2)
    assert np.abs(sound[:, 0]).max() > 0.1
    assert not sound[:, 1].any()


@pytest.mark.parametrize("share", [-1.0, -0.9, -0.6])
def test_opposite_phase_is_analysed_by_the_louder_channel(tmp_path: Path, share: float) -> None:
    left = tone(48_000, 1.0)[0]
    path = record(
        tmp_path / "x", np.stack([share * left, left]), 48_000, container="wav", codec="pcm_f32le", sample_format="flt"
    )
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert np.abs(speech.pcm[2000:14_000]).max() == pytest.approx(0.4, abs=0.005)


def test_same_file_gives_same_samples(tmp_path: Path) -> None:
    path = record(
        tmp_path / "x", tone(44_100, 1.0, 2), 44_100, container="mp3", codec="libmp3lame", sample_format="fltp"
    )
    first = decode(path, tmp_path / "a", 600, lambda: None)
    second = decode(path, tmp_path / "b", 600, lambda: None)
    assert first.pcm.tobytes() == second.pcm.tobytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
