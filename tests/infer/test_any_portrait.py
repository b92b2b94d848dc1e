"""Every face that the face stage lets through can be drawn, in every pose: at edges, in corners, small, turned."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import stages.face.handler
from shared.messages.codes import Code, Rejected
from shared.messages.request import Params
from shared.slot.api import Handler, Task
from stages.infer.engine import Portrait
from stages.infer.puppet.geometry import FaceGeometry
from stages.infer.puppet.palette import palette_of
from stages.infer.puppet.renderer import MouthPose, Pose, Renderer
from tests.infer.conftest import SAMPLES, render_job
from tests.stage_harness import StageHarness

Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
REFUSALS = {Code.NO_FACE, Code.FACE_TOO_SMALL, Code.FACE_CUT_OFF, Code.EXTREME_POSE}
# About four times what a request can ask for.
HEADS = (None, *(sign * np.array([0.1, 0.08, 0.16, 0.08, 0.7, 0.4, 0.04], np.float32) for sign in (1, -1)))
MOUTHS = (MouthPose(close=1.0), MouthPose(open=2.5, wide=1.2, teeth=1.0), MouthPose(open=1.0, round=1.0, tongue=1.0))


def sample() -> Picture:
    return np.asarray(Image.open(SAMPLES / "portrait.png").convert("RGB"))


def cropped(left: int = 0, top: int = 0, right: int = 512, bottom: int = 512) -> Callable[[], Picture]:
    return lambda: sample()[top:bottom, left:right]


def placed(side: int, x: int, y: int) -> Callable[[], Picture]:
    """The head alone, so large, on grey, in a corner for instance: hair and chin at the very edge."""

    def make() -> Picture:
        canvas = np.full((700, 900, 3), 120, np.uint8)
        head = cv2.resize(sample()[60:190, 170:280], (side * 110 // 130, side), interpolation=cv2.INTER_AREA)
        canvas[y : y + side, x : x + head.shape[1]] = head
        return canvas

    return make


def turned(degrees: int) -> Callable[[], Picture]:
    matrix = cv2.getRotationMatrix2D((225, 130), degrees, 0.9)
    return lambda: np.asarray(cv2.warpAffine(sample(), matrix, (512, 512)), np.uint8)


PICTURES = {
    **{f"bottom {y}": cropped(bottom=y) for y in (110, 125, 140, 150, 160, 170, 180)},
    **{f"top {y}": cropped(top=y) for y in (80, 100, 120)},
    **{f"left {x}": cropped(left=x) for x in (185, 200, 215, 225, 240)},
    **{f"right {x}": cropped(right=x) for x in (220, 235, 245, 255, 270)},
    **{f"corner {x} {y}": cropped(left=x, bottom=y) for x in (180, 200) for y in (140, 155)},
    "tight": cropped(179, 68, 272, 178),
    "tighter": cropped(189, 78, 262, 168),
    **{f"{side} at {x} {y}": placed(side, x, y) for side, x, y in
       ((60, 0, 0), (60, 400, 300), (90, 824, 610), (90, 0, 610), (200, 731, 0), (500, 0, 0))},
    **{f"turned {degrees}": turned(degrees) for degrees in (30, 90, 150, 210, 300)},
}  # fmt: skip


@pytest.fixture(scope="module")
def prepare() -> Handler:
    return stages.face.handler.load()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, set[str]]:
    return {"drawn": set()}


@pytest.mark.parametrize("framing", ["original", "face"])
@pytest.mark.parametrize("name", PICTURES)
def test_accepted_portrait_is_rendered(
    prepare: Handler, outcomes: dict[str, set[str]], tmp_path: Path, name: str, framing: str
) -> None:
    Image.fromarray(np.ascontiguousarray(PICTURES[name]())).save(tmp_path / "portrait.png")
    job = render_job(params=Params.model_validate({"framing": framing, "min_resolution": 256}))
    try:
        face = prepare(StageHarness(tmp_path / "face"), Task(job, {"portrait": tmp_path / "portrait.png"}))
    except Rejected as e:
        assert e.code in REFUSALS
        outcomes.setdefault(e.code, set()).add(name)
        return
    image = np.load(face.files["image"])
    renderer = Renderer(image, np.load(face.files["landmarks"]))
    for head in HEADS:
        for mouth in MOUTHS:
            assert renderer.frame(Pose(mouth, blink=1.0, head=head)).shape == image.shape
    outcomes["drawn"].add(name)


def test_pictures_are_accepted_and_rejected(outcomes: dict[str, set[str]]) -> None:
    assert {"tight", "bottom 180", "turned 30"} <= outcomes["drawn"]
    assert {"bottom 125", "left 225", "right 220"} <= outcomes[Code.FACE_CUT_OFF]


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_picture_gives_mouth_colours(portrait: Portrait, shade: int) -> None:
    """A drawing on white paper: no pixel of the eyes is lighter than the others."""
    blank = np.full_like(portrait.image, shade)
    face = FaceGeometry(portrait.landmarks, blank.shape[1], blank.shape[0])
    palette = palette_of(blank, face)
    assert all(np.isfinite(colour).all() for colour in (palette.teeth, palette.cavity, palette.tongue))
    assert palette.warmth == pytest.approx(0, abs=0.1)
