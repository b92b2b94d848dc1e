"""The face stage's handler."""

import multiprocessing
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.messages.codes import Code, Rejected
from shared.messages.metadata import FaceMetadata
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.slot.api import Cancelled, Result, Task
from shared.slot.limits import limit_memory
from stages.face import STAGE
from stages.face.decode import MAX_PIXELS
from stages.face.handler import load
from tests.face.pictures import PORTRAIT, couple, exif, in_profile, on_canvas, pixels, portrait
from tests.stage_harness import StageHarness
from tests.stages.declared import assert_declared


def render_task(**params: Any) -> RenderTask:
    request = RenderRequest.model_validate(
        {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}, "params": params}
    )
    return RenderTask(job_id="j", request_id=str(uuid.uuid4()), request=request, submitted_ms=0)


def run(tmp_path: Path, picture: Path, **params: Any) -> tuple[StageHarness, Result, FaceMetadata]:
    harness = StageHarness(tmp_path / "scratch")
    result = load()(harness, Task(job=render_task(**params), inputs={"portrait": picture}))
    assert isinstance(result.metadata, FaceMetadata)
    return harness, result, result.metadata


def save_picture(tmp_path: Path, image: Any) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(image).save(path)
    return path


def test_sample_portrait_gives_the_declared_outputs(tmp_path: Path) -> None:
    harness, result, metadata = run(tmp_path, PORTRAIT)
    assert_declared(STAGE, result.files, {"height": 512, "width": 512})
    assert all(path.parent == harness.scratch for path in result.files.values())
    image, landmarks = (np.load(result.files[role]) for role in ("image", "landmarks"))
    assert np.array_equal(image, pixels())
    assert (metadata.width, metadata.height, metadata.face_count) == (512, 512, 1)
    x0, y0, x1, y1 = metadata.box
    assert metadata.roi_size == round(max(x1 - x0, y1 - y0))
    assert x0 <= landmarks[:, 0].min() + 0.01 and landmarks[:, 0].max() <= x1 + 0.01
    assert metadata.score > 0.8 and abs(metadata.yaw) < 0.1
    assert harness.warnings == []
    assert harness.counters == {"face_detections_total": 1}


def test_span_describes_the_picture(tmp_path: Path) -> None:
    harness, _, metadata = run(tmp_path, PORTRAIT, min_resolution=256)
    (span,) = harness.spans
    assert (span.name, span.error) == ("preprocess_image", None)
    assert span.attributes == {"expand.ratio": 0.18, "face.roi_size": metadata.roi_size, "video.resolution": "256x256"}
    assert span.events == [("Image decoded", {"image.width": 512, "image.height": 512})]


def test_face_framing_crops_around_the_face(tmp_path: Path) -> None:
    _, result, metadata = run(tmp_path, PORTRAIT, framing="face", expand_ratio=0.5, min_resolution=320)
    assert np.load(result.files["image"]).shape == (320, 320, 3)
    assert metadata.roi_size == pytest.approx(320 / 2, abs=4)
    x0, _, x1, _ = metadata.box
    assert (x0 + x1) / 2 == pytest.approx(160, abs=4)


def test_equal_requests_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name, PORTRAIT, framing="face") for name in "ab")
    for role, path in first[1].files.items():
        assert path.read_bytes() == second[1].files[role].read_bytes()


def test_several_faces_warn_unless_one_is_chosen(tmp_path: Path) -> None:
    picture = save_picture(tmp_path, couple())
    harness, _, metadata = run(tmp_path, picture)
    assert [code for code, _ in harness.warnings] == [Code.MULTIPLE_FACES]
    assert metadata.face_count == 2 and metadata.box[0] > 450
    harness, _, metadata = run(tmp_path, picture, face=1)
    assert harness.warnings == [] and metadata.box[2] < 400
    harness, _, metadata = run(tmp_path, picture, face=(100.0, 60.0, 350.0, 300.0))
    assert harness.warnings == [] and metadata.box[2] < 400


@pytest.mark.parametrize(
    ("side", "width", "codes"), [(300, 700, [Code.LOW_RESOLUTION]), (512, 900, []), (260, 640, [Code.LOW_RESOLUTION])]
)
def test_small_faces_warn(tmp_path: Path, side: int, width: int, codes: list[Code]) -> None:
    harness, _, _ = run(tmp_path, save_picture(tmp_path, on_canvas(width, width, side, 50, 50)))
    assert [code for code, _ in harness.warnings] == codes


def rejection(tmp_path: Path, picture: Path, **params: Any) -> tuple[Code, str | None]:
    with pytest.raises(Rejected) as caught:
        run(tmp_path, picture, **params)
    return caught.value.code, caught.value.field


def test_unusable_portraits_are_rejected(tmp_path: Path) -> None:
    nobody = save_picture(tmp_path, np.full((300, 300, 3), 90, np.uint8))
    assert rejection(tmp_path, nobody) == (Code.NO_FACE, "portrait")
    assert rejection(tmp_path, PORTRAIT, face=1) == (Code.FACE_NOT_FOUND, "params.face")
    assert rejection(tmp_path, PORTRAIT, face=(300.0, 300.0, 400.0, 400.0)) == (Code.FACE_NOT_FOUND, "params.face")
    tiny = save_picture(tmp_path, on_canvas(300, 300, 150, 50, 50))
    assert rejection(tmp_path, tiny) == (Code.FACE_TOO_SMALL, "portrait")
    assert rejection(tmp_path, save_picture(tmp_path, in_profile())) == (Code.EXTREME_POSE, "portrait")


@pytest.mark.parametrize("box", [(0, 0, 512, 120), (220, 0, 512, 512), (0, 0, 230, 512)])
@pytest.mark.parametrize("framing", ["original", "face"])
def test_face_cut_by_the_edge_is_rejected(tmp_path: Path, box: tuple[int, int, int, int], framing: str) -> None:
    cut = save_picture(tmp_path, np.asarray(portrait().crop(box)))
    assert rejection(tmp_path, cut, framing=framing) == (Code.FACE_CUT_OFF, "portrait")


def test_face_too_small_in_the_video_is_rejected(tmp_path: Path) -> None:
    small = save_picture(tmp_path, on_canvas(3000, 2000, 320, 1200, 600))
    assert rejection(tmp_path, small) == (Code.FACE_TOO_SMALL, "portrait")
    _, _, metadata = run(tmp_path, small, framing="face")
    assert metadata.roi_size > 300


def test_cancel_stops_the_work(tmp_path: Path) -> None:
    harness = StageHarness(tmp_path / "scratch", cancel_after=0)
    with pytest.raises(Cancelled):
        load()(harness, Task(job=render_task(), inputs={"portrait": PORTRAIT}))


def test_cache_key_depends_on_the_parameters_of_the_output() -> None:
    assert STAGE.cache_parameters is not None

    def key(**params: Any) -> dict[str, Any]:
        assert STAGE.cache_parameters is not None
        return dict(STAGE.cache_parameters(render_task(**params)))

    assert key(seed=1, dynamic_scale=2.0) == key()
    for change in ({"framing": "face"}, {"expand_ratio": 0.3}, {"min_resolution": 256}, {"face": 1}):
        assert key(**change) != key()


def _decode_under_limit(picture: Path, scratch: Path, outcome: Any) -> None:
    assert STAGE.memory_mb is not None
    handler = load()
    limit_memory(STAGE.memory_mb)
    result = handler(StageHarness(scratch), Task(job=render_task(), inputs={"portrait": picture}))
    outcome.send(result.metadata.model_dump())


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_largest_picture_fits_the_memory_limit(tmp_path: Path, file_format: str) -> None:
    """With alpha, EXIF rotation and colour profile; WebP's decoder needs the most memory of all formats."""
    side = int(MAX_PIXELS**0.5)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = tmp_path / "large"
    large = portrait().convert("RGBA").resize((side, side), Image.Resampling.NEAREST)
    large.putpixel((0, 0), (0, 0, 0, 0))
    options = {"compress_level": 1} if file_format == "PNG" else {"quality": 30, "method": 0}
    large.save(picture, file_format, exif=exif(6), icc_profile=profile, **options)
    del large
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_decode_under_limit, args=(picture, tmp_path / "scratch", sender))
    child.start()
    sender.close()
    child.join(200)
    assert child.exitcode == 0
    assert receiver.recv()["face_count"] == 1
