"""The encode stage's handler."""

import uuid
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import stages.infer
from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.slot.api import Cancelled, Task
from shared.slot.frames.chunk import open_writer, read_frames
from shared.slot.frames.frame import Frame
from stages.encode import STAGE
from stages.encode.handler import load
from stages.encode.mp4 import Mp4Writer
from tests.stage_harness import StageHarness
from tests.stages.declared import assert_declared

WIDTH, HEIGHT, FRAMES = 128, 64, 60
"""Not narrower: at a width of 96 x264 wrote other bytes for equal frames in 3 of 560 runs on a busy machine, with one
thread too; at 128 in none of 800."""
SAMPLES = 48_000 * FRAMES // 25 + 500


def job(frames: int = FRAMES, channels: int = 2) -> RenderTask:
    request = RenderRequest.model_validate({"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}})
    audio = AudioMetadata(
        codec="flac", sample_rate=44_100, channels=channels, duration_s=SAMPLES / 48_000, sound_channels=channels
    )
    infer = InferMetadata(engine="puppet", width=WIDTH, height=HEIGHT, frames=frames, steps=25)
    task = RenderTask(job_id="j", request_id=str(uuid.uuid4()), request=request, submitted_ms=0)
    box = (WIDTH * 0.2, HEIGHT * 0.2, WIDTH * 0.8, HEIGHT * 0.8)
    face = FaceMetadata(
        width=WIDTH, height=HEIGHT, box=box, face_count=1, roi_size=round(WIDTH * 0.6), score=0.9, yaw=0.0
    )
    for stage, metadata in (("audio", audio), ("face", face), ("infer", infer)):
        task = task.with_output(
            stage, StageOutput(attempt="a", metadata=metadata.model_dump(mode="json"), seconds=60.0)
        )
    return task


def chunks(folder: Path) -> list[Path]:
    """Grey frames that brighten, 25 a chunk."""
    folder.mkdir()
    paths = []
    for start in range(0, FRAMES, 25):
        frames = [
            cv2.cvtColor(np.full((HEIGHT, WIDTH, 3), 60 + 2 * i, np.uint8), cv2.COLOR_RGB2YUV_I420)
            for i in range(start, min(start + 25, FRAMES))
        ]
        path = folder / f"{start:06d}.i420"
        np.stack(frames).tofile(path)
        paths.append(path)
    return paths


def sound(folder: Path, channels: int = 2) -> Path:
    path = folder / "sound.f32"
    tone = 0.2 * np.sin(2 * np.pi * 300 * np.arange(SAMPLES) / 48_000)
    np.repeat(tone[:, None], channels, axis=1).astype("<f4").tofile(path)
    return path


def inputs(folder: Path, channels: int = 2) -> dict[str, Path]:
    portrait = folder / "image.npy"
    np.save(portrait, np.full((HEIGHT, WIDTH, 3), 60, np.uint8))
    return {"sound": sound(folder, channels), "portrait": portrait}


@pytest.mark.parametrize("channels", [1, 2])
def test_video_and_poster_are_written(tmp_path: Path, channels: int) -> None:
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")})
    result = load()(harness, Task(job=job(channels=channels), inputs=inputs(tmp_path, channels)))
    metadata = result.metadata
    assert isinstance(metadata, EncodeMetadata)
    assert_declared(STAGE, result.files, {})
    assert (metadata.width, metadata.height, metadata.fps, metadata.frames) == (WIDTH, HEIGHT, 25, FRAMES)
    assert metadata.duration_s == pytest.approx(SAMPLES / 48_000, abs=1e-4)
    assert metadata.container_drift_ms == pytest.approx(500 / 48, abs=0.1)
    assert metadata.bytes == result.files["video"].stat().st_size
    with av.open(str(result.files["video"])) as file:
        levels = [frame.to_ndarray(format="gray")[32, 48] for frame in file.decode(video=0)]
    assert len(levels) == FRAMES
    # All frames, in order.
    assert all(b > a - 2 for a, b in pairwise(levels))
    assert levels[-1] - levels[0] > 90
    poster = cv2.imread(str(result.files["poster"]))
    assert poster is not None
    assert np.abs(poster.astype(int) - 60).max() <= 3
    assert harness.progressed == [(25, 60), (50, 60), (60, 60)]
    (span,) = harness.spans
    assert span.name == "encode_video"
    assert span.attributes == {
        "video.resolution": f"{WIDTH}x{HEIGHT}",
        "video.format": "mp4",
        "video.duration_s": metadata.duration_s,
        "container.drift_ms": metadata.container_drift_ms,
        "audio.drift_ms": 10,
    }
    assert (metadata.lip_offset_ms, metadata.quality) == (None, None), "there is no face in the portrait"


@pytest.mark.parametrize("how", ["switched off", "no time"])
def test_quality_is_absent_when_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    task = Task(job=job(), inputs=inputs(tmp_path))
    if how == "switched off":
        monkeypatch.setenv("LIPSTAGE_LIP_CHECK", "0")
    else:
        monkeypatch.setenv("LIPSTAGE_LIP_CHECK", "1e-9")
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")})
    metadata = load()(harness, task).metadata
    assert isinstance(metadata, EncodeMetadata)
    assert (metadata.lip_offset_ms, metadata.quality, metadata.audio_drift_ms) == (None, None, 10)
    assert not {"lip.offset_ms", "render.quality"} & set(harness.spans[0].attributes)


def test_missing_chunk_is_an_error(tmp_path: Path) -> None:
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")[:-1]})
    with pytest.raises(ValueError, match=r"60 frames .* the chunks have 50"):
        load()(harness, Task(job=job(), inputs=inputs(tmp_path)))


def test_truncated_chunk_is_an_error(tmp_path: Path) -> None:
    paths = chunks(tmp_path / "chunks")
    paths[1].write_bytes(paths[1].read_bytes()[:-7])
    harness = StageHarness(tmp_path / "scratch", {"frames": paths})
    with pytest.raises(ValueError, match="not a multiple"):
        load()(harness, Task(job=job(), inputs=inputs(tmp_path)))


def test_lossless_chunks_give_the_same_video_as_raw_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame by frame, as they reach x264: that writes other bytes for equal frames of noise in 1 of 30 runs."""
    written: list[bytes] = []
    write = Mp4Writer.write

    def noted(self: Mp4Writer, frames: Iterable[Frame]) -> None:
        def passed_on() -> Iterator[Frame]:
            for frame in frames:
                written.append(frame.tobytes())
                yield frame

        write(self, passed_on())

    monkeypatch.setattr(Mp4Writer, "write", noted)
    raw = chunks(tmp_path / "raw")
    coded = []
    # Fine detail, of which a lossy codec loses some.
    detail = np.random.default_rng(1).integers(0, 9, WIDTH * HEIGHT * 3 // 2, np.uint8)
    for path in raw:
        grey = np.fromfile(path, np.uint8)
        (grey + np.tile(detail, grey.size // detail.size)).tofile(path)
        writer = open_writer(path.with_suffix(".h264"), "h264-lossless", WIDTH, HEIGHT)
        for frame in read_frames(path, "raw", WIDTH, HEIGHT):
            writer.write(frame)
        writer.close()
        coded.append(path.with_suffix(".h264"))
    files = []
    for name, codec, paths in (("a", "raw", raw), ("b", "h264-lossless", coded)):
        harness = StageHarness(tmp_path / name, {"frames": paths})
        task = job()
        infer = task.outputs["infer"]
        infer = infer.model_copy(update={"metadata": {**infer.metadata, "frame_codec": codec}})
        written.clear()
        result = load()(harness, Task(job=task.with_output("infer", infer), inputs=inputs(tmp_path)))
        files.append((list(written), result.files["poster"].read_bytes()))
    assert len(files[0][0]) == FRAMES
    assert files[0] == files[1]


def test_metadata_of_version_040_means_raw_frames() -> None:
    """What infer of version 0.4.0 wrote before an upgrade is still in the queue of encode after it."""
    old = {"engine": "puppet", "width": 96, "height": 64, "fps": 25, "frames": 60, "steps": 25, "gpu_seconds": 0.0}
    assert InferMetadata.model_validate(old).frame_codec == "raw"


def test_coded_chunk_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    """Raw frames under the name of another codec: nothing is misread."""
    task = job()
    infer = task.outputs["infer"]
    infer = infer.model_copy(update={"metadata": {**infer.metadata, "frame_codec": "h264-lossless"}})
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")})
    with pytest.raises(ValueError, match="a chunk with 0 access units"):
        load()(harness, Task(job=task.with_output("infer", infer), inputs=inputs(tmp_path)))


def test_chunks_are_requested_one_by_one(tmp_path: Path) -> None:
    """A chunk is encoded before the next is fetched: no more than one is held."""
    paths = chunks(tmp_path / "chunks")

    class Lazy(StageHarness):
        def chunks(self, role: str) -> Iterator[Path]:
            for i, path in enumerate(paths):
                assert len(self.progressed) == i
                yield path
                path.unlink()

    harness = Lazy(tmp_path / "scratch")
    load()(harness, Task(job=job(), inputs=inputs(tmp_path)))
    assert len(harness.progressed) == 3


def test_cancel_stops_the_work(tmp_path: Path) -> None:
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")}, cancel_after=1)
    with pytest.raises(Cancelled):
        load()(harness, Task(job=job(), inputs=inputs(tmp_path)))
    assert harness.progressed[-1] == (50, 60)


def test_settings_are_passed_to_x264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_X264_THREADS", "1")
    monkeypatch.setenv("LIPSTAGE_X264_PRESET", "ultrafast")
    harness = StageHarness(tmp_path / "scratch", {"frames": chunks(tmp_path / "chunks")})
    result = load()(harness, Task(job=job(), inputs=inputs(tmp_path)))
    data = result.files["video"].read_bytes()
    assert b" threads=1 " in data
    assert b" cabac=0 " in data


def test_needed_disk_space_depends_on_the_length() -> None:
    assert 96 * 1024 * 1024 < STAGE.needs_bytes(job()) < 256 * 1024 * 1024


def test_deadline_covers_the_longest_render() -> None:
    """A render that infer may finish must not be killed in the next stage."""
    assert STAGE.deadline_s >= stages.infer.STAGE.deadline_s
