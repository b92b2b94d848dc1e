"""Segments of a video while it is encoded: they play, and the finished file does not change."""

import io
from pathlib import Path

import av

from shared.messages.refs import OutputRef
from shared.slot.api import Task
from stages.encode.handler import load
from tests.encode import test_handler as encoding
from tests.stage_harness import StageHarness


def encoded(folder: Path, *, preview: bool) -> tuple[bytes, list[tuple[bytes, float]]]:
    """The finished file, and the segments."""
    task = encoding.job()
    output = OutputRef(bucket="films", prefix="default/films", preview=preview)
    task = task.model_copy(update={"request": task.request.model_copy(update={"output": output})})
    folder.mkdir()
    harness = StageHarness(folder / "scratch", {"frames": encoding.chunks(folder / "chunks")})
    result = load()(harness, Task(job=task, inputs=encoding.inputs(folder)))
    return result.files["video"].read_bytes(), harness.segments


def test_finished_file_is_the_same_with_and_without_a_preview(tmp_path: Path) -> None:
    plain, none = encoded(tmp_path / "plain", preview=False)
    previewed, segments = encoded(tmp_path / "preview", preview=True)
    assert previewed == plain
    assert none == []
    assert [seconds for _, seconds in segments] == [0.0, 2.0, 0.4]


def test_segments_play_from_the_first_one_on(tmp_path: Path) -> None:
    _, segments = encoded(tmp_path / "preview", preview=True)
    parts = [data for data, _ in segments]
    for count, frames in ((2, 50), (3, encoding.FRAMES)):
        with av.open(io.BytesIO(b"".join(parts[:count]))) as file:
            assert sum(1 for _ in file.decode(video=0)) == frames
    with av.open(io.BytesIO(b"".join(parts))) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert abs(samples - encoding.SAMPLES) < 3 * 1024
