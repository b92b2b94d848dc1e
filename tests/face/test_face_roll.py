"""Portraits that lie on their side or upside down, and heads that are only tilted."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.messages.codes import Code
from stages.face.choose import choose_face
from stages.face.detector import DetectedFace
from stages.face.landmarks import FaceMesh
from stages.face.models import FaceModels
from stages.face.quality import require_upright, roll_warnings
from stages.face.roll import FaceLocator, LocatedFace, quarter_turns, upright
from tests.face.pictures import couple, encoded, pixels
from tests.face.test_face_handler import rejection, run, save_picture

EYES = (33, 263)
CHIN = 152


def turned(degrees: float) -> NDArray[np.uint8]:
    """The portrait turned counter-clockwise, on grey."""
    matrix = cv2.getRotationMatrix2D((256, 256), degrees, 1.0)
    size = int(512 * np.abs(matrix[0, :2]).sum())
    matrix[:, 2] += (size - 512) / 2
    return np.asarray(cv2.warpAffine(pixels(), matrix, (size, size), borderValue=(120, 120, 120)), np.uint8)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_portrait_on_its_side_is_turned_upright_with_a_warning(tmp_path: Path, quarters: int) -> None:
    lying = np.ascontiguousarray(np.rot90(pixels()[:400], quarters))
    harness, result, metadata = run(tmp_path / "lying", save_picture(tmp_path, lying))
    _, expected, plain = run(tmp_path / "upright", save_picture(tmp_path, pixels()[:400]))
    assert [code for code, _ in harness.warnings] == [Code.ROTATED_PORTRAIT]
    assert (metadata.width, metadata.height) == (plain.width, plain.height)
    for role in ("image", "landmarks"):
        found, wanted = np.load(result.files[role]), np.load(expected.files[role])
        assert np.abs(found.astype(float)[..., :2] - wanted.astype(float)[..., :2]).mean() < 1


@pytest.mark.parametrize("degrees", [-60, -45, -30, 30, 45, 60])
def test_tilted_head_is_left_as_it_is(tmp_path: Path, degrees: float) -> None:
    harness, result, _ = run(tmp_path, save_picture(tmp_path, turned(degrees)))
    assert harness.warnings == []
    points = np.load(result.files["landmarks"])[:, :2]
    down = points[CHIN] - points[list(EYES)].mean(axis=0)
    assert abs(np.degrees(np.arctan2(down[0], down[1])) - degrees) < 10


@pytest.mark.parametrize("degrees", [75, 90, 105, -75, -105, 120, -120, 195, 210])
def test_tilted_head_in_a_turned_picture_is_turned_to_the_nearest_side(tmp_path: Path, degrees: float) -> None:
    harness, result, _ = run(tmp_path, save_picture(tmp_path, turned(degrees)))
    assert [code for code, _ in harness.warnings] == [Code.ROTATED_PORTRAIT]
    points = np.load(result.files["landmarks"])[:, :2]
    down = points[CHIN] - points[list(EYES)].mean(axis=0)
    assert abs(np.degrees(np.arctan2(down[0], down[1]))) < 45


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_roll_is_right_or_not_certain(models: FaceModels, degrees: int) -> None:
    """The landmark network alone takes some faces for upright ones that are upside down."""
    picture = turned(degrees)
    face = choose_face(models.search.find(picture), "largest", *picture.shape[1::-1])
    located = models.locator.locate(picture, face)
    error = (-located.mesh.roll - degrees + 180) % 360 - 180
    assert abs(error) < 10 or not located.roll_is_certain


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(encoded(Image.fromarray(image), "JPEG", quality=quality))))


@pytest.mark.parametrize("quality", [60, 75, 85, None])
def test_picture_flipped_vertically_is_turned_upright(tmp_path: Path, quality: int | None) -> None:
    """Upside down and mirrored, textures of the clothes resemble faces."""
    flipped = np.ascontiguousarray(pixels()[::-1])
    picture = compressed(flipped, quality) if quality else flipped
    harness, result, metadata = run(tmp_path, save_picture(tmp_path, picture))
    assert [code for code, _ in harness.warnings] == [Code.ROTATED_PORTRAIT]
    assert metadata.face_count == 1
    points = np.load(result.files["landmarks"])[:, :2]
    assert np.linalg.norm(points[list(EYES)].mean(axis=0) - (511 - 225, 102)) < 6


@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_mirrored_picture_is_turned_upright(tmp_path: Path, quarters: int) -> None:
    picture = np.ascontiguousarray(np.rot90(pixels()[:, ::-1], quarters))
    harness, result, _ = run(tmp_path, save_picture(tmp_path, picture))
    assert [code for code, _ in harness.warnings] == ([Code.ROTATED_PORTRAIT] if quarters else [])
    points = np.load(result.files["landmarks"])[:, :2]
    assert np.linalg.norm(points[list(EYES)].mean(axis=0) - (511 - 225, 102)) < 6


class SteepView:
    """A detector that scores each view by the angle at which it cuts the picture: 0.65 upright, 0.95 at 180 degrees."""

    def __init__(self) -> None:
        self.views = 0

    def detect(self, image: NDArray[np.uint8]) -> list[DetectedFace]:
        self.views += 1
        upside_down = image[:128].mean() > image[128:].mean()  # the test's picture is bright below
        return [DetectedFace(np.array((78.0, 78, 178, 178)), np.full((6, 2), 128.0), 0.95 if upside_down else 0.65)]


class MeshAsDetected:
    """Landmarks as for an upright face, whichever face it gets."""

    def locate(self, image: NDArray[np.uint8], face: DetectedFace) -> FaceMesh:
        points = np.zeros((478, 3))
        points[:, :2] = face.centre
        points[EYES[0], 0] -= 50
        points[EYES[1], 0] += 50
        points[CHIN, 1] += 0 if face.score < 0.9 else 1
        return FaceMesh(points, 1.0)


def test_weakly_confirmed_roll_gives_way_to_a_clearly_better_view() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[256:] = 200
    detector = SteepView()
    locator = FaceLocator(detector, MeshAsDetected())  # type: ignore[arg-type]
    located = locator.locate(picture, DetectedFace(np.array((156.0, 156, 356, 356)), np.zeros((6, 2)), 0.8))
    assert located.roll_is_certain and detector.views > 1
    assert located.mesh.points[CHIN, 1] > located.mesh.points[0, 1]  # of the face in the better view


def test_chosen_face_is_the_one_in_the_picture_as_it_was_sent(tmp_path: Path) -> None:
    lying = save_picture(tmp_path, np.ascontiguousarray(np.rot90(couple(), 1)))
    harness, _, metadata = run(tmp_path, lying, face=1)
    assert [code for code, _ in harness.warnings] == [Code.ROTATED_PORTRAIT]
    assert metadata.width > metadata.height and metadata.box[2] < 400


def test_portrait_that_may_lie_on_its_side_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.face.roll._CERTAIN", 2.0)  # nothing is certain
    lying = save_picture(tmp_path, np.ascontiguousarray(np.rot90(pixels(), 1)))
    assert rejection(tmp_path, lying) == (Code.ROTATED_PORTRAIT, "portrait")


def mesh_with_roll(degrees: float) -> FaceMesh:
    points = np.zeros((478, 3))
    points[EYES[1], :2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return FaceMesh(points, 1.0)


def test_uncertain_face_that_seems_upright_warns() -> None:
    located = LocatedFace(mesh_with_roll(10), roll_is_certain=False)
    require_upright(located)
    assert [code for code, _ in roll_warnings(located)] == [Code.LOW_CONFIDENCE_FACE]


@pytest.mark.parametrize(
    ("roll", "turns"),
    [
        (0, 0),
        (70, 0),
        (-70, 0),
        (71, 1),
        (90, 1),
        (120, 1),
        (-71, 3),
        (-90, 3),
        (150, 2),
        (-150, 2),
        (180, 2),
        (-180, 2),
    ],
)
def test_pictures_are_turned_from_seventy_degrees(roll: float, turns: int) -> None:
    assert quarter_turns(roll) == turns


def test_landmarks_turn_with_their_picture() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 5] = 255
    points = np.zeros((478, 3))
    points[:] = 5, 1, 0.5
    for angle in (90, 180, -90):
        mesh = FaceMesh(points.copy(), 1.0)
        direction = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        mesh.points[EYES[0], :2] -= direction
        picture, found = upright(image, mesh)
        x, y = found.points[0, :2].astype(int)
        assert picture[y, x].tolist() == [255, 255, 255]
        assert found.points[0, 2] == 0.5 and abs(found.roll) < 1e-6
