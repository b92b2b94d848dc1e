"""The written mp4: codecs, lengths, colours, tags, and equal bytes for equal input."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.encode.container import measure_container
from stages.encode.labels import labels
from stages.encode.mp4 import Coding, Mp4Writer
from stages.encode.poster import write_poster

WIDTH, HEIGHT = 320, 256


def i420(rgb: tuple[int, int, int], count: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frames of one colour, converted as the infer stage does it."""
    picture = np.full((height, width, 3), rgb, np.uint8)
    frame = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    return np.repeat(np.asarray(frame, np.uint8)[None], count, axis=0)


def moving(count: int) -> NDArray[np.uint8]:
    """Frames with texture and motion."""
    texture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(texture, (0, 0), 3)
    frames = [cv2.cvtColor(np.roll(smooth, 2 * i, axis=1), cv2.COLOR_RGB2YUV_I420) for i in range(count)]
    return np.stack([np.asarray(frame, np.uint8) for frame in frames])


def hum(samples: int, channels: int = 1) -> NDArray[np.float32]:
    t = np.arange(samples)[:, None] / 48_000
    return np.repeat(0.3 * np.sin(2 * np.pi * 440 * t), channels, axis=1).astype(np.float32)


def make(path: Path, frames: NDArray[np.uint8], sound: NDArray[np.float32], coding: Coding = Coding()) -> Path:  # noqa: B008
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    with Mp4Writer(path, width, height, sound, labels("puppet"), coding) as writer:
        for start in range(0, len(frames), 25):
            writer.write(frames[start : start + 25])
    return path


def atoms(path: Path) -> list[str]:
    """Top-level boxes in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def test_codecs_and_layout_are_as_documented(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", moving(60), hum(115_200, 2))
    names = atoms(path)
    assert names.index("moov") < names.index("mdat")
    with av.open(str(path)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.profile) == ("h264", "High")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.width, video.height) == (WIDTH, HEIGHT)
        assert video.average_rate == video.base_rate == 25
        assert (audio.codec_context.name, audio.codec_context.profile) == ("aac", "LC")
        assert (audio.rate, audio.layout.name) == (48_000, "stereo")
        assert len(list(file.decode(video=0))) == 60


@pytest.mark.parametrize("channels", [1, 2])
def test_sound_gets_its_bit_rate(tmp_path: Path, channels: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (96_000, channels)).astype(np.float32)
    path = make(tmp_path / "v.mp4", i420((90, 90, 90), 50), noise)
    with av.open(str(path)) as file:
        size = sum(packet.size for packet in file.demux(audio=0))
    assert size * 8 / 2.0 >= 0.9 * (128_000 if channels == 1 else 160_000)


@pytest.mark.parametrize(
    ("frames", "samples"),
    [(1, 9600), (1, 1920), (5, 9600), (50, 96_000), (50, 96_000 - 959), (50, 96_000 + 960), (252, 484_320)],
)
def test_both_tracks_end_within_a_frame(tmp_path: Path, frames: int, samples: int) -> None:
    path = make(tmp_path / "v.mp4", i420((90, 90, 90), frames), hum(samples))
    measured = measure_container(path)
    assert (measured.frames, int(measured.fps)) == (frames, 25)
    assert (measured.width, measured.height, measured.bytes) == (WIDTH, HEIGHT, path.stat().st_size)
    end = max(samples / 48_000, frames / 25)
    assert measured.duration_s == pytest.approx(end, abs=1e-4)
    assert measured.drift_ms == pytest.approx(1000 * (end - frames / 25), abs=0.1)


def test_sound_is_complete_and_in_time(tmp_path: Path) -> None:
    """A click at 1.000 s is decoded at 1.000 s: the encoder's delay is taken off by the edit list."""
    sound = np.zeros((96_000, 1), np.float32)
    sound[48_000:48_004] = 0.9
    path = make(tmp_path / "v.mp4", i420((90, 90, 90), 50), sound)
    with av.open(str(path)) as file:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert abs(int(np.abs(decoded).argmax()) - 48_000) <= 24


@pytest.mark.parametrize(
    "rgb", [(255, 255, 255), (0, 0, 0), (230, 30, 40), (40, 200, 60), (30, 50, 220), (198, 134, 110)]
)
def test_colours_are_preserved(tmp_path: Path, rgb: tuple[int, int, int]) -> None:
    """Decoded with what the file itself says about matrix and range."""
    path = make(tmp_path / "v.mp4", i420(rgb, 5), hum(9600))
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        # H.273: matrix 6 = BT.601, range 1 = limited, primaries 1 and transfer 13 = sRGB.
        assert (context.colorspace, context.color_range) == (6, 1)
        assert (context.color_primaries, context.color_trc) == (1, 13)
        pixel = next(file.decode(video=0)).to_ndarray(format="rgb24")[HEIGHT // 2, WIDTH // 2]
    assert np.abs(pixel.astype(int) - np.array(rgb)).max() <= 3


def test_picture_quality(tmp_path: Path) -> None:
    frames = moving(25)
    path = make(tmp_path / "v.mp4", frames, hum(48_000))
    with av.open(str(path)) as file:
        decoded = np.stack([frame.to_ndarray() for frame in file.decode(video=0)])
    error = np.mean((decoded[:, :HEIGHT].astype(float) - frames[:, :HEIGHT]) ** 2)
    assert 10 * np.log10(255**2 / error) > 38


def test_tags_declare_the_video_synthetic(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", i420((90, 90, 90), 2), hum(9600))
    with av.open(str(path)) as file:
        tags = file.metadata
    assert tags["comment"].startswith("Synthetic video")
    assert "engine puppet" in tags["comment"]
    assert tags["description"].startswith("synthetic=true; engine=puppet; digitalsourcetype=")


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    frames, sound = moving(60), hum(115_200)
    first, *others = (make(tmp_path / f"{i}.mp4", frames, sound).read_bytes() for i in range(6))
    assert all(other == first for other in others)


def test_number_of_threads_is_as_set(tmp_path: Path) -> None:
    """x264 writes its settings into the stream: the pinned number of threads, and that they share each picture."""
    path = make(tmp_path / "v.mp4", moving(5), hum(9600), Coding("ultrafast", 3))
    data = path.read_bytes()
    assert b" threads=3 " in data
    assert b" sliced_threads=1 " in data
    assert b" crf=18.0 " in data


def test_frames_of_another_size_are_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="does not fit"),
        Mp4Writer(tmp_path / "v.mp4", WIDTH, HEIGHT, hum(9600), {}, Coding()) as writer,
    ):
        writer.write(i420((0, 0, 0), 1, 64, 64))


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="at least one frame"),
        Mp4Writer(tmp_path / "v.mp4", WIDTH, HEIGHT, hum(9600), {}, Coding()),
    ):
        pass


def test_poster_is_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    write_poster(path, i420((198, 134, 110), 1)[0], "Synthetic: ünïcode")
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(picture[:, :, ::-1].astype(int) - [198, 134, 110]).max() <= 3
    data = path.read_bytes()
    assert data[:4] == b"\xff\xd8\xff\xe0"
    assert data[6:10] == b"JFIF"
    assert "Synthetic: ünïcode".encode() in data
