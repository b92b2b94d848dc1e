"""Locates 478 face landmarks by MediaPipe's attention mesh, in two passes."""

from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stages.face.detector import DetectedFace

CROP_SIDE = 192
CROP_MARGIN = 1.5
"""Side of the crop in sizes of the face."""
# Above this ratio the picture is reduced first: bilinear sampling of the crop would alias.
_LARGEST_STEP = 2.0
# Outer corners of the subject's right and left eye: the line between them defines the face's horizontal.
RIGHT_EYE, LEFT_EYE = 33, 263
# Ends of the face's contour beside the subject's right and left ear, and the tip of the nose.
RIGHT_CHEEK, LEFT_CHEEK, NOSE_TIP = 234, 454, 1


@dataclass(frozen=True)
class FaceMesh:
    """The landmarks of one face.

    points: [478, 3] float64, x, y in pixels of the picture (integers are pixel centres), z in the same unit, smaller is
    nearer; 468 mesh points, then 5 of the right and 5 of the left iris; score: 0..1, probability of a face.
    """

    points: NDArray[np.float64]
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Upright bounding box x0, y0, x1, y1 of all points."""
        (x0, y0), (x1, y1) = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)

    @property
    def yaw(self) -> float:
        """-1..1: 0 frontal, 1 profile towards the picture's right; from the position of the nose between the cheeks."""
        xy = self.points[:, :2]
        axis = xy[LEFT_EYE] - xy[RIGHT_EYE]
        axis = axis / max(float(np.linalg.norm(axis)), 1e-9)
        right, left = (xy[NOSE_TIP] - xy[RIGHT_CHEEK]) @ axis, (xy[LEFT_CHEEK] - xy[NOSE_TIP]) @ axis
        return float(np.clip((right - left) / max(right + left, 1e-9), -1, 1))


@dataclass(frozen=True)
class _Region:
    """A rotated square of the picture: centre and side in pixels, angle in radians."""

    centre: NDArray[np.float64]
    side: float
    angle: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 3] from pixels of the crop to pixels of the picture."""
        rotation = _rotation(self.angle) * (self.side / CROP_SIDE)
        middle = np.full(2, CROP_SIDE / 2)
        return np.column_stack([rotation, self.centre - rotation @ middle])


class LandmarkModel:
    """The network of ``face_landmarks.onnx``."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def locate(self, image: NDArray[np.uint8], face: DetectedFace) -> FaceMesh:
        """Locate the landmarks of ``face`` in ``image`` [H, W, 3] RGB; the second pass crops by the first's result."""
        reduced, scale = _reduce(image, float(max(face.size)) * CROP_MARGIN)
        first = self._run(reduced, _region_of_detection(face, scale))
        mesh = self._run(reduced, _region_of_mesh(first))
        return FaceMesh(rescale(mesh.points, 1 / scale[0], 1 / scale[1]), mesh.score)

    def _run(self, image: NDArray[np.uint8], region: _Region) -> FaceMesh:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, region.matrix, (CROP_SIDE, CROP_SIDE), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        inputs = {"image": crop[None].astype(np.float32) / 255}
        landmarks, score = self._session.run(["landmarks", "score"], inputs)
        points = landmarks[0].astype(np.float64)
        matrix = region.matrix
        xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return FaceMesh(np.column_stack([xy, points[:, 2] * (region.side / CROP_SIDE)]), float(score[0, 0]))


def rescale(points: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """Points [N, 3] after their picture is resized by the factors ``x`` and ``y``; z scales with x."""
    half = np.array((0.5, 0.5, 0.0))
    return np.asarray((points + half) * np.array((x, y, x)) - half, np.float64)


def _reduce(image: NDArray[np.uint8], side: float) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Reduce the picture when a region of ``side`` pixels is much larger than the crop; returns it and both factors."""
    step = side / CROP_SIDE
    if step <= _LARGEST_STEP:
        return image, (1.0, 1.0)
    height, width = image.shape[:2]
    size = max(1, round(width * _LARGEST_STEP / step)), max(1, round(height * _LARGEST_STEP / step))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, (size[0] / width, size[1] / height)


def _region_of_detection(face: DetectedFace, scale: tuple[float, float]) -> _Region:
    keypoints = face.keypoints * scale
    right_eye, left_eye = keypoints[0], keypoints[1]
    side = float(max(face.size * scale)) * CROP_MARGIN
    return _Region(face.centre * scale, side, _angle(left_eye - right_eye))


def _region_of_mesh(mesh: FaceMesh) -> _Region:
    xy = mesh.points[:, :2]
    angle = _angle(xy[LEFT_EYE] - xy[RIGHT_EYE])
    rotation = _rotation(angle)
    level = xy @ rotation
    low, high = level.min(axis=0), level.max(axis=0)
    return _Region(rotation @ ((low + high) / 2), float(max(high - low)) * CROP_MARGIN, angle)


def _angle(direction: NDArray[np.float64]) -> float:
    return float(np.arctan2(direction[1], direction[0]))


def _rotation(angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
