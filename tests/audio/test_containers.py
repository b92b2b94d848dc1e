"""Containers of phones, browsers and video files: values, length and the place of a click."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.audio.decode import decode
from stages.audio.sample_streams import Speech
from tests.audio.tones import HZ, click, loudest_hz, peak_s, record, tone

LIVE = {"live": "1"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov", "frag_duration": "200000"}
TESTS = Path(__file__).parent


class Pipe(io.RawIOBase):
    """A sink that can't go back, as a browser's recorder writes: no length, no index."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def noise(rate: int, seconds: float) -> NDArray[np.float32]:
    """Values of 16 bits, [1, n]."""
    values = np.random.default_rng(3).integers(-20_000, 20_000, round(rate * seconds))
    return (values.astype(np.float32) / 32768)[None]


def decoded(tmp_path: Path, path: Path) -> tuple[Speech, NDArray[np.float32]]:
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    return speech, np.fromfile(speech.sound, "<f4").reshape(-1, speech.sound_channels)[:, 0]


@pytest.mark.parametrize(
    ("container", "codec", "sample_format"),
    [
        ("ipod", "alac", "s16p"),
        ("ipod", "alac", "s32p"),
        ("mov", "alac", "s16p"),
        ("mov", "pcm_s16le", "s16"),
        ("mov", "pcm_s16be", "s16"),
        ("mov", "pcm_s24be", "s32"),
        ("mp4", "flac", "s16"),
        ("matroska", "alac", "s16p"),
        ("matroska", "flac", "s16"),
        ("matroska", "pcm_s16le", "s16"),
        ("matroska", "pcm_s24le", "s32"),
        ("matroska", "pcm_f32le", "flt"),
        ("aiff", "pcm_s16be", "s16"),
        ("au", "pcm_s16be", "s16"),
    ],
)
def test_lossless_sound_keeps_every_value(tmp_path: Path, container: str, codec: str, sample_format: str) -> None:
    samples = noise(48_000, 1.3)
    path = record(tmp_path / "x", samples, 48_000, container=container, codec=codec, sample_format=sample_format)
    speech, sound = decoded(tmp_path, path)
    assert speech.duration_s == pytest.approx(1.3)
    np.testing.assert_allclose(sound, samples[0], atol=2**-23, rtol=0)


def test_alac_of_a_recorder_is_accepted(tmp_path: Path) -> None:
    speech, _ = decoded(tmp_path, TESTS / "samples" / "alac.m4a")
    assert (speech.codec, speech.sample_rate, speech.duration_s) == ("alac", 48_000, 2.0)


def test_quicktime_file_that_does_not_name_its_type_is_accepted(tmp_path: Path) -> None:
    samples = noise(48_000, 1.0)
    path = record(tmp_path / "x", samples, 48_000, container="mov", codec="pcm_s16be", sample_format="s16")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ftyp", b"wide", 1))
    np.testing.assert_array_equal(decoded(tmp_path, path)[1], samples[0])


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "rate", "channels", "tail_s"),
    [
        ("webm", "libopus", "flt", 48_000, 1, 0.0),
        ("webm", "libopus", "flt", 16_000, 2, 0.0),
        ("webm", "vorbis", "fltp", 44_100, 2, 0.03),
        ("matroska", "libopus", "flt", 48_000, 2, 0.0),
        ("matroska", "aac", "fltp", 44_100, 1, 0.03),
        ("matroska", "libmp3lame", "fltp", 44_100, 1, 0.03),
        ("mov", "aac", "fltp", 44_100, 2, 0.0),
        ("3gp", "aac", "fltp", 16_000, 1, 0.0),
        ("mp4", "libopus", "flt", 48_000, 1, 0.02),
        ("ogg", "libopus", "flt", 16_000, 1, 0.0),
    ],
)
def test_lossy_sound_keeps_length_and_place(
    tmp_path: Path,
    live: bool,
    container: str,
    codec: str,
    sample_format: str,
    rate: int,
    channels: int,
    tail_s: float,
) -> None:
    """The encoder's delay is taken off; where no header counts the samples, the last frame is whole."""
    options = {"webm": LIVE, "matroska": LIVE, "mp4": FRAGMENTS}.get(container) if live else None
    samples = np.repeat(click(rate, 2.0, 1.25), channels, axis=0)
    path = record(
        tmp_path / "x",
        samples,
        rate,
        container=container,
        codec=codec,
        sample_format=sample_format,
        options={"strict": "-2"} if codec == "vorbis" else None,
        container_options=options,
    )
    speech, _ = decoded(tmp_path, path)
    assert 2.0 - 0.001 <= speech.duration_s <= 2.0 + tail_s + 0.001
    assert peak_s(speech.pcm, 16_000) == pytest.approx(1.25, abs=0.002)


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("matroska", "aac"), ("mp4", "aac")])
def test_recording_of_a_browser_has_its_true_length(tmp_path: Path, container: str, codec: str, pictures: bool) -> None:
    """Written without going back; the pictures go on longer than the sound."""
    form, rate = ("flt", 48_000) if codec == "libopus" else ("fltp", 44_100)
    pipe = Pipe()
    options = FRAGMENTS if container == "mp4" else LIVE
    with av.open(pipe, "w", format=container, options=options) as file:
        sound = file.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(sound, av.AudioStream)
        sound.format = form
        if pictures:
            video = file.add_stream("libvpx" if container == "webm" else "libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        frame = av.AudioFrame.from_ndarray(click(rate, 3.0, 1.5), "flt", "mono")
        frame.sample_rate, frame.pts = rate, 0
        convert = av.AudioResampler(form, "mono", rate, frame_size=sound.codec_context.frame_size)
        parts = [*convert.resample(frame), *convert.resample(None)]
        for number in range(100 if pictures else 0):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), number, np.uint8), "yuv420p")
            picture.pts = number
            file.mux(video.encode(picture))
            for part in parts[number * len(parts) // 75 : (number + 1) * len(parts) // 75]:
                file.mux(sound.encode(part))
        for part in () if pictures else parts:
            file.mux(sound.encode(part))
        file.mux(sound.encode(None))
        if pictures:
            file.mux(video.encode(None))
    path = tmp_path / "recording"
    path.write_bytes(pipe.data)
    speech, _ = decoded(tmp_path, path)
    assert speech.duration_s == pytest.approx(3.0, abs=0.03)
    assert peak_s(speech.pcm, 16_000) == pytest.approx(1.5, abs=0.002)


@pytest.mark.parametrize("container", ["amr", "3gp"])
def test_amr_voice_note_is_accepted(tmp_path: Path, container: str) -> None:
    path = record(
        tmp_path / "x",
        tone(8000, 2.0),
        8000,
        container=container,
        codec="libopencore_amrnb",
        sample_format="s16",
        options={"b": "12200"},
    )
    speech, _ = decoded(tmp_path, path)
    assert speech.codec == "amrnb"
    assert speech.duration_s == pytest.approx(2.0, abs=0.04)
    assert loudest_hz(speech.pcm, 16_000) == pytest.approx(HZ, abs=2.0)


def test_wide_band_amr_is_accepted(tmp_path: Path) -> None:
    """No encoder is at hand: 100 frames of 20 ms at the lowest rate, of random content."""
    rng = np.random.default_rng(0)
    path = tmp_path / "x"
    path.write_bytes(b"#!AMR-WB\n" + b"".join(b"\x04" + rng.bytes(17) for _ in range(100)))
    speech, _ = decoded(tmp_path, path)
    assert (speech.codec, speech.sample_rate, speech.duration_s) == ("amrwb", 16_000, 2.0)


def two_tracks(path: Path, container: str, first: str, default: int) -> Path:
    """A file with a tone of 440 Hz in the first sound track and one of 880 Hz in the second."""
    with av.open(str(path), "w", format=container) as file:
        tracks = []
        for number, codec in enumerate((first, "aac")):
            stream = file.add_stream(codec, rate=48_000, layout="mono")
            assert isinstance(stream, av.AudioStream)
            stream.format = "fltp"
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            tracks.append(stream)
        for number, stream in enumerate(tracks):
            frame = av.AudioFrame.from_ndarray(tone(48_000, 1.0, hz=HZ * (number + 1)), "flt", "mono")
            frame.sample_rate, frame.pts = 48_000, 0
            convert = av.AudioResampler("fltp", "mono", 48_000, frame_size=stream.codec_context.frame_size)
            for part in [*convert.resample(frame), *convert.resample(None)]:
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("container", "first", "default", "hz"),
    [
        ("matroska", "aac", 0, HZ),
        ("matroska", "aac", 1, 2 * HZ),
        ("mp4", "aac", 1, 2 * HZ),
        ("matroska", "ac3", 0, 2 * HZ),
    ],
)
def test_default_track_that_can_be_decoded_is_used(
    tmp_path: Path, container: str, first: str, default: int, hz: float
) -> None:
    speech, _ = decoded(tmp_path, two_tracks(tmp_path / "x", container, first, default))
    assert loudest_hz(speech.pcm, 16_000) == pytest.approx(hz, abs=2.0)
