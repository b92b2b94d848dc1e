"""The infer stage as the runtime sees it: chunks, metadata, spans, cancel."""

from pathlib import Path

import numpy as np
import pytest

from shared.messages.chunks import MAX_CHUNK_BYTES, frame_bytes
from shared.messages.metadata import InferMetadata
from shared.messages.request import Params
from shared.slot.api import Cancelled, Handler, Unavailable
from stages.infer import STAGE, stage_of
from stages.infer.chunks import chunk_frames
from stages.infer.engine import frame_count
from stages.infer.handler import ENVIRONMENT, load
from stages.infer.i420 import to_i420
from tests.infer.conftest import SECONDS, MakeTask
from tests.stage_harness import StageHarness
from tests.stages.declared import assert_declared


@pytest.fixture(scope="module")
def handle() -> Handler:
    return load()


def uploaded_bytes(context: StageHarness) -> bytes:
    return b"".join(path.read_bytes() for path, _ in context.uploaded["frames"])


def test_chunks_hold_all_frames_in_order(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    context = StageHarness(tmp_path)
    result = handle(context, make_task(params=Params(inference_steps=30, dynamic_scale=1.2)))
    metadata = InferMetadata.model_validate(result.metadata.model_dump())
    total = frame_count(SECONDS)
    assert (metadata.engine, metadata.frames, metadata.fps, metadata.steps) == ("puppet", total, 25, 30)
    assert metadata.frame_codec == context.codecs["frames"] == "h264-lossless"
    counts = [frames for _, frames in context.uploaded["frames"]]
    assert counts == [25] * (total // 25) + [total % 25]
    sizes = {"height * 3 / 2": metadata.height * 3 // 2, "width": metadata.width}
    assert_declared(STAGE, result.files, sizes, context)
    paths = [path for path, _ in context.uploaded["frames"]]
    assert paths == sorted(paths)
    assert context.progressed[0] == (0, total) and context.progressed[-1] == (total, total)
    (span,) = context.spans
    assert span.name == "run_inference"
    assert span.attributes == {
        "engine": "puppet",
        "inference.steps": 30,
        "dynamic.scale": 1.2,
        "video.resolution": f"{metadata.width}x{metadata.height}",
        "frames": total,
        "frames.codec": "h264-lossless",
    }


def test_seed_determines_the_bytes(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    films = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        context = StageHarness(tmp_path / name)
        handle(context, make_task(params=Params(seed=seed)))
        films.append(uploaded_bytes(context))
    assert films[0] == films[1]
    assert films[2] != films[0]


def test_cancel_between_chunks_stops_rendering(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    context = StageHarness(tmp_path, cancel_after=1 + 25)  # one check before the frames, and one for each
    with pytest.raises(Cancelled):
        handle(context, make_task())
    assert [frames for _, frames in context.uploaded["frames"]] == [25]
    assert context.spans[0].error == "Cancelled"


def test_cancel_within_a_chunk_stops_rendering(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    """A chunk of a slow engine takes longer than a user waits for his cancel."""
    context = StageHarness(tmp_path, cancel_after=1 + 10)
    with pytest.raises(Cancelled):
        handle(context, make_task())
    assert context.uploaded == {}


def test_task_of_another_engine_is_refused(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sonic"):
        handle(StageHarness(tmp_path), make_task(engine="sonic"))


def test_artifact_with_a_wrong_shape_is_refused(handle: Handler, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task()
    wrong = tmp_path / "landmarks.npy"
    np.save(wrong, np.zeros((468, 3), np.float32))
    inputs = {**task.inputs, "landmarks": wrong}
    with pytest.raises(ValueError, match="landmarks"):
        handle(StageHarness(tmp_path / "scratch"), type(task)(task.job, inputs))


def test_unknown_engine_names_the_registered_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "nobody")
    with pytest.raises(ValueError, match="puppet"):
        load()


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 1), (0.019, 1), (0.2, 5), (2.6, 65), (10.09, 252), (600, 15000)])
def test_frame_count(seconds: float, frames: int) -> None:
    assert frame_count(seconds) == frames


@pytest.mark.parametrize(("width", "height"), [(512, 512), (768, 768), (1920, 1080), (256, 1920)])
def test_chunk_is_bounded(width: int, height: int) -> None:
    size = chunk_frames(width, height)
    assert 1 <= size <= 25
    assert size * frame_bytes(width, height) <= MAX_CHUNK_BYTES
    assert size == 25 or (size + 1) * frame_bytes(width, height) > MAX_CHUNK_BYTES


def test_needed_disk_covers_chunks_that_wait_for_upload(make_task: MakeTask) -> None:
    job = make_task().job
    face = job.outputs["face"].metadata
    chunk = 25 * frame_bytes(int(str(face["width"])), int(str(face["height"])))
    assert STAGE.needs_bytes(job) >= 5 * chunk


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
        ((255, 0, 0), (82, 90, 240)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_i420_is_bt601_limited(rgb: tuple[int, int, int], yuv: tuple[int, int, int]) -> None:
    planes = to_i420(np.full((4, 6, 3), rgb, np.uint8)).ravel()
    for plane, value in zip((planes[:24], planes[24:30], planes[30:]), yuv, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_i420_chroma_is_the_mean_of_four() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[1, 1] = (255, 0, 0)  # not the pixel a point sample would take
    assert to_i420(rgb)[2].tolist() != [128, 128]


def test_gpu_engine_has_one_slot_a_longer_deadline_and_checkpoints() -> None:
    """The declaration is read without torch, which this environment does not have."""
    puppet, sonic = stage_of("puppet"), stage_of("sonic")
    assert (sonic.one_slot, sonic.resumes, sonic.memory_mb) == (True, True, None)
    assert (puppet.one_slot, puppet.resumes, puppet.memory_mb) == (False, False, 2048)
    assert sonic.deadline_s > puppet.deadline_s == STAGE.deadline_s
    with pytest.raises(ValueError, match="puppet, sonic"):
        stage_of("nobody")


def test_needed_disk_covers_checkpoints(make_task: MakeTask) -> None:
    job = make_task().job
    assert stage_of("sonic").needs_bytes(job) > stage_of("puppet").needs_bytes(job)


def test_missing_library_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "sonic")
    with pytest.raises(Unavailable, match=r"needs torch.*make setup-sonic"):
        load()
