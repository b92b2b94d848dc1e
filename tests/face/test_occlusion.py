"""Portraits with a hand, a microphone or a mask in front of the mouth, and with a visible mouth in other light."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.messages.codes import Code
from stages.face.choose import choose_face
from stages.face.landmarks import FaceMesh
from stages.face.models import FaceModels, load_models
from stages.face.occlusion import mouth_is_occluded
from tests.face.pictures import pixels
from tests.face.test_face_handler import run, save_picture

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models() -> FaceModels:
    return load_models()


def mesh_of(models: FaceModels, picture: Picture) -> FaceMesh:
    height, width = picture.shape[:2]
    return models.landmarks.locate(picture, choose_face(models.search.find(picture), "largest", width, height))


def pasted(picture: Picture, shape: Picture, colour: NDArray[np.float64]) -> Picture:
    """Colour [H, W, 3] where the shape is, with a soft edge and a camera's noise."""
    share = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 1.0)[..., None]
    noise = np.random.default_rng(0).normal(0, 4, shape.shape)[..., None]
    return np.clip(picture * (1 - share) + (colour + noise) * share, 0, 255).astype(np.uint8)


def flat(picture: Picture, colour: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.broadcast_to(np.array(colour, np.float64), picture.shape)


def hand(picture: Picture, mesh: FaceMesh) -> Picture:
    """Four fingers of the cheek's own colour."""
    points = mesh.points[:, :2]
    mouth, width = points[[61, 291, 0, 17]].mean(axis=0), float(np.linalg.norm(points[291] - points[61]))
    shape, shade = np.zeros(picture.shape[:2], np.uint8), np.ones(picture.shape[:2], np.float32)
    for finger in range(4):
        x = mouth[0] + (finger - 1.5) * 0.38 * width
        ends = [(int(x), int(mouth[1] + y * width)) for y in (-0.55, 1.3)]
        cv2.line(shape, ends[0], ends[1], 1, int(0.4 * width))
        cv2.line(
            shade, (ends[0][0] + int(0.19 * width), ends[0][1]), (ends[1][0] + int(0.19 * width), ends[1][1]), 0.65
        )
    x, y = points[50].astype(int)
    return pasted(picture, shape, cv2.GaussianBlur(shade, (0, 0), 1.0)[..., None] * 0.93 * picture[y, x])


def microphone(picture: Picture, mesh: FaceMesh) -> Picture:
    points = mesh.points[:, :2]
    mouth, width = points[[61, 291, 0, 17]].mean(axis=0), float(np.linalg.norm(points[291] - points[61]))
    shape = np.zeros(picture.shape[:2], np.uint8)
    cv2.circle(shape, (int(mouth[0]), int(mouth[1] + 0.12 * width)), int(0.55 * width), 1, -1)
    return pasted(picture, shape, flat(picture, (30, 30, 32)))


def lower_lip_hidden(picture: Picture, mesh: FaceMesh) -> Picture:
    """A microphone under the upper lip."""
    points = mesh.points[:, :2]
    width = float(np.linalg.norm(points[291] - points[61]))
    shape = np.zeros(picture.shape[:2], np.uint8)
    cv2.circle(shape, (int(points[17][0]), int(points[14][1] + 0.45 * width)), int(0.55 * width), 1, -1)
    return pasted(picture, shape, flat(picture, (30, 30, 32)))


def mask(colour: tuple[float, float, float]) -> Callable[[Picture, FaceMesh], Picture]:
    """From the bridge of the nose to the chin, three pleats."""

    def draw(picture: Picture, mesh: FaceMesh) -> Picture:
        points = mesh.points[:, :2]
        shape = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(shape, [points[[5, 345, 361, 397, 152, 172, 132, 116]].astype(np.int32)], 1)
        rows = np.arange(picture.shape[0])[:, None, None]
        pleats = 1 - 0.1 * (np.sin((rows - points[0, 1]) / 4) > 0.8)
        return pasted(picture, shape, flat(picture, colour) * pleats)

    return draw


OCCLUDERS = {
    "hand": hand,
    "microphone": microphone,
    "lower lip hidden": lower_lip_hidden,
    "surgical mask": mask((170, 200, 215)),
    "black mask": mask((35, 35, 38)),
    "white mask": mask((235, 235, 235)),
}


@pytest.mark.parametrize("name", OCCLUDERS)
def test_occluded_mouth_is_detected(models: FaceModels, name: str) -> None:
    picture = OCCLUDERS[name](pixels(), mesh_of(models, pixels()))
    assert mouth_is_occluded(picture, mesh_of(models, picture))


def beard(picture: Picture, models: FaceModels) -> Picture:
    """Dark hair around the lips, which it leaves free."""
    points = mesh_of(models, picture).points[:, :2]
    shape = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(shape, [points[[164, 410, 364, 152, 135, 186]].astype(np.int32)], 1)
    lips = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
    cv2.fillPoly(shape, [points[lips].astype(np.int32)], 0)
    hair = np.random.default_rng(1).normal(1, 0.3, picture.shape[:2])[..., None]
    return pasted(picture, shape, flat(picture, (50, 40, 32)) * hair)


FREE: dict[str, Callable[[Picture, FaceModels], Picture]] = {
    "as it is": lambda p, _: p,
    "mirrored": lambda p, _: np.ascontiguousarray(p[:, ::-1]),
    "grey": lambda p, _: np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8),
    "dark": lambda p, _: (p * 0.35).astype(np.uint8),
    "in blue light": lambda p, _: (p * (0.6, 0.8, 1.0)).astype(np.uint8),
    "small": lambda p, _: np.asarray(cv2.resize(p, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA), np.uint8),
    "large": lambda p, _: np.asarray(cv2.resize(p, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC), np.uint8),
    "lying": lambda p, _: np.ascontiguousarray(np.rot90(p)),
    "bearded": beard,
}


@pytest.mark.parametrize("name", FREE)
def test_visible_mouth_is_not_occluded(models: FaceModels, name: str) -> None:
    picture = FREE[name](pixels(), models)
    assert not mouth_is_occluded(picture, mesh_of(models, picture))


def test_stage_warns_of_an_occluded_mouth(tmp_path: Path, models: FaceModels) -> None:
    picture = microphone(pixels(), mesh_of(models, pixels()))
    harness, _, _ = run(tmp_path, save_picture(tmp_path, picture))
    assert [code for code, _ in harness.warnings] == [Code.OCCLUDED_MOUTH]
