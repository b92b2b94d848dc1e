"""Finding and measuring faces with the shipped models, on a real portrait."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.face.detector import DetectedFace, blend_overlapping, intersection_over_union
from stages.face.landmarks import LEFT_EYE, RIGHT_EYE, FaceMesh, rescale
from stages.face.models import FaceModels
from stages.face.search import remove_parts, rotate_back, tiles
from tests.face.pictures import couple, on_canvas, pixels

# Measured by eye in the sample portrait: outer corners of the eyes and of the mouth, tip of the nose.
RIGHT_EYE_AT, LEFT_EYE_AT = (195, 101), (256, 104)
UPPER_LIP, CHIN = 0, 152


def located(models: FaceModels, image: NDArray[np.uint8]) -> FaceMesh:
    faces = models.search.find(image)
    assert len(faces) == 1
    return models.landmarks.locate(image, faces[0])


def turned(image: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    matrix = cv2.getRotationMatrix2D((225, 130), degrees, 0.9)
    return np.asarray(cv2.warpAffine(image, matrix, (512, 512)), np.uint8)


def test_portrait(models: FaceModels) -> None:
    mesh = located(models, pixels())
    assert mesh.points.shape == (478, 3)
    assert mesh.score > 0.99
    assert abs(mesh.yaw) < 0.1
    assert np.linalg.norm(mesh.points[RIGHT_EYE, :2] - RIGHT_EYE_AT) < 4
    assert np.linalg.norm(mesh.points[LEFT_EYE, :2] - LEFT_EYE_AT) < 4
    assert np.allclose(mesh.box, (179, 68, 272, 178), atol=5)


def test_irises_lie_in_their_eyes(models: FaceModels) -> None:
    points = located(models, pixels()).points[:, :2]
    right, left = points[468], points[473]
    assert points[RIGHT_EYE, 0] < right[0] < points[133, 0]
    assert points[362, 0] < left[0] < points[LEFT_EYE, 0]


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_pictures_agree_with_the_upright_one(models: FaceModels, quarter_turns: int) -> None:
    upright = located(models, pixels()).points[:, :2]
    found = located(models, np.ascontiguousarray(np.rot90(pixels(), quarter_turns))).points[:, :2]
    x, y = found[:, 0], found[:, 1]
    back = {1: (511 - y, x), 2: (511 - x, 511 - y), 3: (y, 511 - x)}[quarter_turns]
    assert np.abs(np.stack(back, axis=1) - upright).mean() < 1


@pytest.mark.parametrize("degrees", [30, -45, 60, 135])
def test_rolled_faces_keep_eyes_above_the_mouth(models: FaceModels, degrees: float) -> None:
    points = located(models, turned(pixels(), degrees)).points[:, :2]
    # Down the face, turned back by the angle of the test: must point down the picture.
    down = points[CHIN] - (points[RIGHT_EYE] + points[LEFT_EYE]) / 2
    angle = np.degrees(np.arctan2(down[0], down[1]))
    assert abs((angle - degrees + 180) % 360 - 180) < 10


@pytest.mark.parametrize(("width", "side"), [(2000, 300), (2000, 200), (1000, 200)])
def test_small_face_in_a_large_picture(models: FaceModels, width: int, side: int) -> None:
    left, top = round(width * 0.7), round(width * 0.4)
    mesh = located(models, on_canvas(width, round(width * 0.75), side, left, top))
    expected = np.array([left, top, left, top]) + np.array([179, 68, 272, 178]) * side / 512
    assert np.allclose(mesh.box, expected, atol=4)


def test_large_picture_agrees_with_the_small_one(models: FaceModels) -> None:
    small = located(models, pixels())
    large = located(models, np.asarray(cv2.resize(pixels(), (3072, 3072), interpolation=cv2.INTER_CUBIC), np.uint8))
    assert np.abs(rescale(large.points, 1 / 6, 1 / 6)[:, :2] - small.points[:, :2]).mean() < 0.5


@pytest.mark.parametrize("change", ["grey", "dark", "mirrored"])
def test_appearance_does_not_matter(models: FaceModels, change: str) -> None:
    image = pixels()
    changed = {
        "grey": np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8),
        "dark": (image * 0.15).astype(np.uint8),
        "mirrored": np.ascontiguousarray(image[:, ::-1]),
    }[change]
    assert located(models, changed).score > 0.99


def test_several_faces(models: FaceModels) -> None:
    faces = models.search.find(couple())
    assert len(faces) == 2
    assert sorted(round(float(face.centre[0]) / 100) for face in faces) == [2, 6]


def test_no_face(models: FaceModels) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    gradient = np.tile(np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None], (300, 1, 3))
    no_head = pixels()[200:]
    for image in (noise, gradient, np.zeros((64, 4000, 3), np.uint8), no_head):
        assert models.search.find(np.ascontiguousarray(image)) == []


def test_same_picture_same_landmarks(models: FaceModels) -> None:
    assert np.array_equal(located(models, pixels()).points, located(models, pixels()).points)


def face(*box: float, score: float = 0.9) -> DetectedFace:
    return DetectedFace(np.array(box), np.zeros((6, 2)), score)


def test_overlapping_detections_are_averaged_by_score() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    blended = blend_overlapping(boxes, np.zeros((3, 6, 2)), np.array([0.9, 0.6, 0.7]))
    assert [f.score for f in blended] == [0.9, 0.7]
    assert np.allclose(blended[0].box, [0.4, 0, 10.4, 10])
    assert blend_overlapping(np.zeros((0, 4)), np.zeros((0, 6, 2)), np.zeros(0)) == []


def test_degenerate_box_ends_the_search() -> None:
    assert len(blend_overlapping(np.zeros((2, 4)), np.zeros((2, 6, 2)), np.array([0.9, 0.8]))) == 2


def test_intersection_over_union() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert np.allclose(intersection_over_union(boxes[0], boxes), [1, 1 / 3, 0])


def test_tiles_cover_the_picture() -> None:
    for cells in (2, 4, 8):
        covered = np.zeros((300, 500), bool)
        for top, bottom, left, right in tiles((300, 500), cells):
            assert 0 <= top < bottom <= 300 and 0 <= left < right <= 500
            covered[top:bottom, left:right] = True
        assert covered.all()


def test_parts_of_a_face_are_dropped() -> None:
    whole, half, other = face(0, 0, 10, 10, score=0.7), face(0, 0, 10, 5), face(8, 0, 18, 10, score=0.8)
    assert remove_parts([half, other, whole]) == [other, whole]


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_back_is_the_inverse_of_rot90(quarter_turns: int) -> None:
    image = np.zeros((40, 60), np.uint8)
    image[5:15, 20:50] = 1
    rows, columns = np.nonzero(np.rot90(image, quarter_turns))
    found = face(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert rotate_back(found, quarter_turns, image.shape).box.tolist() == [20, 5, 50, 15]
