"""The measurement sees what is wrong with a file; files are made wrong on purpose, without our writer."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.encode.container import measure_container


def plain(path: Path, frame_times: list[int], sound_s: float, sound_from_s: float = 0.0, *, sound: bool = True) -> Path:
    """An mp4 with frames at the given 1/25 s steps and PCM-free AAC sound of a length and start."""
    with av.open(str(path), "w", format="mp4") as file:
        video = file.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25)
        audio = file.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for at in frame_times:
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 80, np.uint8), "yuv420p")
            frame.pts, frame.time_base, frame.duration = at, Fraction(1, 25), 1
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if audio is not None:
            count = round(sound_s * 48_000)
            for start in range(0, count, 1024):
                block = np.zeros((1, min(1024, count - start)), np.float32)
                part = av.AudioFrame.from_ndarray(block, "fltp", "mono")
                part.sample_rate, part.time_base = 48_000, Fraction(1, 48_000)
                part.pts = start + round(sound_from_s * 48_000)
                file.mux(audio.encode(part))
            file.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("sound_s", "start_s", "drift_ms"), [(2.0, 0.0, 0.0), (2.3, 0.0, 300.0), (1.5, 0.0, -500.0), (2.0, 0.12, 120.0)]
)
def test_drift(tmp_path: Path, sound_s: float, start_s: float, drift_ms: float) -> None:
    measured = measure_container(plain(tmp_path / "v.mp4", list(range(50)), sound_s, start_s))
    assert measured.drift_ms == pytest.approx(drift_ms, abs=25 if start_s else 1)
    assert measured.frames == 50


def test_uneven_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evenly"):
        measure_container(plain(tmp_path / "v.mp4", [0, 1, 2, 5, 6], 0.5))


def test_a_missing_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sound track"):
        measure_container(plain(tmp_path / "v.mp4", [0, 1, 2], 0, sound=False))


def test_no_file_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(av.error.FFmpegError):
        measure_container(path)
