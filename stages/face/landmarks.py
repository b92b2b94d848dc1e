"""Locates 478 face landmarks by MediaPipe's attention mesh, in two passes."""

import math
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stages.face.detector import DetectedFace
from stages.face.region import Region, angle_of, reduce, rotation

CROP_SIDE = 192
CROP_MARGIN = 1.5
"""Side of the crop in sizes of the face."""
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
    def roll(self) -> float:
        """-180..180 degrees: 0 upright, positive clockwise as seen in the picture; from the line between the eyes."""
        return math.degrees(angle_of(self.points[LEFT_EYE, :2] - self.points[RIGHT_EYE, :2]))

    @property
    def yaw(self) -> float:
        """-1..1: 0 frontal, 1 profile towards the picture's right; from the position of the nose between the cheeks."""
        xy = self.points[:, :2]
        axis = xy[LEFT_EYE] - xy[RIGHT_EYE]
        axis = axis / max(float(np.linalg.norm(axis)), 1e-9)
        right, left = (xy[NOSE_TIP] - xy[RIGHT_CHEEK]) @ axis, (xy[LEFT_CHEEK] - xy[NOSE_TIP]) @ axis
        return float(np.clip((right - left) / max(right + left, 1e-9), -1, 1))


class LandmarkModel:
    """The network of ``face_landmarks.onnx``."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def locate(self, image: NDArray[np.uint8], face: DetectedFace) -> FaceMesh:
        """Locate the landmarks of ``face`` in ``image`` [H, W, 3] RGB; the second pass crops by the first's result."""
        reduced, scale = reduce(image, float(max(face.size)) * CROP_MARGIN, CROP_SIDE)
        first = self._run(reduced, _region_of_detection(face, scale))
        mesh = self._run(reduced, _region_of_mesh(first))
        return FaceMesh(rescale(mesh.points, 1 / scale[0], 1 / scale[1]), mesh.score)

    def _run(self, image: NDArray[np.uint8], region: Region) -> FaceMesh:
        inputs = {"image": region.crop(image, CROP_SIDE)[None].astype(np.float32) / 255}
        landmarks, score = self._session.run(["landmarks", "score"], inputs)
        points = landmarks[0].astype(np.float64)
        matrix = region.matrix(CROP_SIDE)
        xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return FaceMesh(np.column_stack([xy, points[:, 2] * (region.side / CROP_SIDE)]), float(score[0, 0]))


def rescale(points: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """Points [N, 3] after their picture is resized by the factors ``x`` and ``y``; z scales with x."""
    half = np.array((0.5, 0.5, 0.0))
    return np.asarray((points + half) * np.array((x, y, x)) - half, np.float64)


def _region_of_detection(face: DetectedFace, scale: tuple[float, float]) -> Region:
    keypoints = face.keypoints * scale
    right_eye, left_eye = keypoints[0], keypoints[1]
    side = float(max(face.size * scale)) * CROP_MARGIN
    return Region(face.centre * scale, side, angle_of(left_eye - right_eye))


def _region_of_mesh(mesh: FaceMesh) -> Region:
    xy = mesh.points[:, :2]
    angle = angle_of(xy[LEFT_EYE] - xy[RIGHT_EYE])
    turn = rotation(angle)
    level = xy @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    return Region(turn @ ((low + high) / 2), float(max(high - low)) * CROP_MARGIN, angle)
