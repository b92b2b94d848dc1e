"""Which face speaks, whether it may, and how the frame is cut."""

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.messages.codes import Code, Rejected
from stages.face.choose import choose_face
from stages.face.detector import DetectedFace
from stages.face.frame import MAX_LONG_SIDE, MAX_PIXELS, plan_frame
from stages.face.landmarks import LEFT_CHEEK, LEFT_EYE, NOSE_TIP, RIGHT_CHEEK, RIGHT_EYE, FaceMesh
from stages.face.mask import face_mask
from stages.face.quality import quality_warnings, require_frame, require_usable


def face(x0: float, y0: float, side: float, score: float = 0.9) -> DetectedFace:
    return DetectedFace(np.array([x0, y0, x0 + side, y0 + side]), np.zeros((6, 2)), score)


CENTRAL, CORNER, TINY = face(400, 400, 200), face(0, 0, 220), face(700, 100, 50)
FACES = [TINY, CORNER, CENTRAL]


def choose(choice: object) -> DetectedFace:
    return choose_face(FACES, choice, 1000, 1000)  # type: ignore[arg-type]


def test_choice() -> None:
    assert choose("largest") is CENTRAL
    assert [choose(i) for i in range(3)] == [CORNER, CENTRAL, TINY]
    assert choose((600.0, 50.0, 800.0, 200.0)) is TINY
    assert choose((0.0, 0.0, 1000.0, 1000.0)) is CORNER


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (3, Code.FACE_NOT_FOUND),
        ((800.0, 800.0, 900.0, 900.0), Code.FACE_NOT_FOUND),
        ((300.0, 0.0, 200.0, 100.0), Code.INVALID_REQUEST),
        ((0.0, 0.0, 2000.0, 100.0), Code.INVALID_REQUEST),
    ],
)
def test_choice_that_names_no_face(choice: object, code: Code) -> None:
    with pytest.raises(Rejected) as caught:
        choose(choice)
    assert (caught.value.code, caught.value.field) == (code, "params.face")


@pytest.mark.parametrize("choice", ["largest", 0, (0.0, 0.0, 5.0, 5.0)])
def test_no_face_at_all(choice: object) -> None:
    with pytest.raises(Rejected) as caught:
        choose_face([], choice, 100, 100)  # type: ignore[arg-type]
    assert caught.value.code == Code.NO_FACE


def mesh(width: float = 100, yaw: float = 0.0, roll: float = 0.0, score: float = 1.0) -> FaceMesh:
    """An ellipse of points with the nose moved sideways by `yaw`, turned by `roll` degrees."""
    angle = np.linspace(0, 2 * np.pi, 478)
    points = np.stack([np.cos(angle) * width / 2, np.sin(angle) * width * 0.65, 0 * angle], axis=1)
    points[RIGHT_CHEEK], points[LEFT_CHEEK] = (-width / 2, 0, 0), (width / 2, 0, 0)
    points[RIGHT_EYE], points[LEFT_EYE] = (-width / 4, -width / 4, 0), (width / 4, -width / 4, 0)
    points[NOSE_TIP] = (yaw * width / 2, 0, 0)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    points[:, :2] = points[:, :2] @ np.array([[c, s], [-s, c]]) + 500
    return FaceMesh(points, score)


@pytest.mark.parametrize("roll", [0, 40, 90, 180])
@pytest.mark.parametrize("yaw", [-1.0, -0.5, 0.0, 0.7, 1.0])
def test_yaw_does_not_depend_on_roll(roll: float, yaw: float) -> None:
    assert mesh(yaw=yaw, roll=roll).yaw == pytest.approx(yaw)


def test_refused_faces() -> None:
    for bad, code in ((mesh(width=31), Code.FACE_TOO_SMALL), (mesh(yaw=0.95), Code.EXTREME_POSE)):
        with pytest.raises(Rejected) as caught:
            require_usable(bad)
        assert caught.value.code == code
    with pytest.raises(Rejected) as caught:
        require_frame(mesh(width=31).points, 1000, 1000)
    assert caught.value.code == Code.FACE_TOO_SMALL
    require_usable(mesh(width=33, yaw=-0.85))
    require_frame(mesh(width=33).points, 1000, 1000)


def test_face_at_the_edge() -> None:
    """Ears, hair and chin may be cut; an eye or a corner of the mouth may not."""
    eye, mouth = 33, 61
    for landmark, place in ((eye, (-0.1, 5)), (eye, (5, 999.1)), (mouth, (999.1, 5)), (mouth, (5, -0.1))):
        cut = mesh().points
        cut[landmark, :2] = place
        with pytest.raises(Rejected) as caught:
            require_frame(cut, 1000, 1000)
        assert (caught.value.code, caught.value.field) == (Code.FACE_CUT_OFF, "portrait")
    chin = mesh().points
    chin[152, 1] = 1010.0
    require_frame(chin, 1000, 1000)


@pytest.mark.parametrize(
    ("face_mesh", "score", "count", "codes"),
    [
        (mesh(), 0.9, 1, []),
        (mesh(), 0.9, 3, [Code.MULTIPLE_FACES]),
        (mesh(width=50), 0.9, 1, [Code.LOW_RESOLUTION]),
        (mesh(yaw=-0.7), 0.9, 1, [Code.EXTREME_POSE]),
        (mesh(), 0.55, 1, [Code.LOW_CONFIDENCE_FACE]),
        (mesh(score=0.2), 0.9, 1, [Code.LOW_CONFIDENCE_FACE]),
    ],
)
def test_warnings(face_mesh: FaceMesh, score: float, count: int, codes: list[Code]) -> None:
    assert [code for code, _ in quality_warnings(face_mesh, score, count)] == codes


BOX = (100.0, 100.0, 200.0, 240.0)


def size(width: int, height: int, min_resolution: int = 512) -> tuple[int, int]:
    plan = plan_frame(width, height, BOX, framing="original", expand_ratio=0.18, min_resolution=min_resolution)
    assert (plan.left, plan.top, plan.crop_width, plan.crop_height) == (0, 0, width, height)
    return plan.width, plan.height


def test_original_frame_has_the_short_side_asked_for() -> None:
    assert size(512, 512) == (512, 512)
    assert size(4000, 3000) == (682, 512)
    assert size(300, 451, 768) == (768, 1154)


@pytest.mark.parametrize("width", [33, 250, 517, 1023, 3001, 7000])
@pytest.mark.parametrize("height", [33, 333, 600, 1999, 7000])
@pytest.mark.parametrize("min_resolution", [256, 512, 1024])
def test_frame_is_even_and_bounded(width: int, height: int, min_resolution: int) -> None:
    w, h = size(width, height, min_resolution)
    assert w % 2 == h % 2 == 0 and min(w, h) >= 2
    assert max(w, h) <= MAX_LONG_SIDE and w * h <= MAX_PIXELS
    assert min(w, h) <= min_resolution
    assert min(w, h) == min_resolution or max(w, h) >= MAX_LONG_SIDE - 2 or w * h > 0.99 * MAX_PIXELS


@pytest.mark.parametrize(("ratio", "left", "top", "side"), [(0.0, 80, 100, 140), (0.2, 52, 72, 196), (1.0, 0, 0, 400)])
def test_face_square(ratio: float, left: int, top: int, side: int) -> None:
    plan = plan_frame(600, 400, BOX, framing="face", expand_ratio=ratio, min_resolution=256)
    assert (plan.left, plan.top, plan.crop_width, plan.crop_height) == (left, top, side, side)
    assert (plan.width, plan.height) == (256, 256)


def test_landmarks_follow_the_picture() -> None:
    image: NDArray[np.uint8] = np.zeros((400, 600, 3), np.uint8)
    image[150:154, 130:134] = 255  # centre at (131.5, 151.5)
    for framing in ("original", "face"):
        plan = plan_frame(600, 400, BOX, framing=framing, expand_ratio=0.2, min_resolution=512)  # type: ignore[arg-type]
        picture = plan.picture(image)
        assert picture.shape == (plan.height, plan.width, 3)
        weights = picture[:, :, 0].astype(float)
        y, x = (np.average(axis, weights=weights) for axis in np.indices(weights.shape))
        moved = plan.points(np.array([[131.5, 151.5, 2.0]]))[0]
        assert moved[:2] == pytest.approx((x, y), abs=0.3)
        assert moved[2] == pytest.approx(2.0 * plan.width / plan.crop_width)


def test_mask_is_a_soft_oval() -> None:
    oval = mesh(width=200)
    mask = face_mask(oval.points, 1000, 1000)
    assert (mask.shape, mask.dtype) == ((1000, 1000), np.uint8)
    assert mask[500, 500] == 255
    assert mask[0, 0] == mask[500, 650] == 0
    row = mask[500, 500:700].astype(int)
    assert np.all(np.diff(row) <= 0)
    assert np.count_nonzero((row > 20) & (row < 235)) > 8
    assert abs(int(np.argmax(row < 128)) - 100) <= 3
