"""Locates the landmarks of a face and finds out which way up it is; turns pictures that lie on their side.

The landmark network also fits a face that it gets upside down, with full confidence. The detector does not: a view of
the face turned upright scores 0.7 and more, turned upside down nothing. So the detector decides.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.face.detector import DetectedFace
from stages.face.landmarks import FaceMesh, LandmarkModel
from stages.face.region import Region, reduce
from stages.face.search import Detector

LARGEST_ROLL = 70.0
"""Degrees up to which a head counts as tilted in an upright picture; engines animate such heads as they are."""
_VIEW_SIDE = 256
_VIEW_MARGIN = 2.2
"""Side of a view in sizes of the face."""
_SEARCH_MARGINS = (2.2, 3.3)
"""The same for a face whose landmarks are wrong: its box may be too small."""
_STEP = 30
"""Degrees between the views that are tried; the detector finds faces that are tilted by half of it."""
_CERTAIN = 0.6
"""Score of an upright view from which the roll is certain; faces that are drawn reach 0.73, wrong ones 0."""
_OBVIOUS = 0.75
"""Score of an upright view from which no other view is tried."""
_GAIN = 0.1
"""Increase of the score by which another view replaces one that is certain."""
_CLEARLY = 0.7
"""Score of another view that replaces an uncertain one."""
_ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class LocatedFace:
    """The landmarks of a face, and whether the detector confirms that it is this way up."""

    mesh: FaceMesh
    roll_is_certain: bool


class FaceLocator:
    """Locates landmarks with a detector that confirms the roll of the face."""

    def __init__(self, detector: Detector, landmarks: LandmarkModel) -> None:
        self._detector = detector
        self._landmarks = landmarks

    def locate(self, image: NDArray[np.uint8], face: DetectedFace) -> LocatedFace:
        """Locate the landmarks of ``face`` in ``image`` [H, W, 3] RGB, whichever way up it is."""
        mesh = self._landmarks.locate(image, face)
        low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
        around = Region((low + high) / 2, float(max(high - low)) * _VIEW_MARGIN, math.radians(mesh.roll))
        confirmed = self._best_in(image, around)
        if confirmed is not None and confirmed.score >= _OBVIOUS:
            return LocatedFace(mesh, roll_is_certain=True)
        size, angles = float(max(face.size)), range(0, 360, _STEP)
        views = (Region(face.centre, size * m, math.radians(a)) for m in _SEARCH_MARGINS for a in angles)
        found = [turned for view in views if (turned := self._best_in(image, view)) is not None]
        best = max(found, key=lambda turned: turned.score, default=None)
        least = _CLEARLY if confirmed is None else confirmed.score + _GAIN
        if best is None or best.score < least:
            return LocatedFace(mesh, roll_is_certain=confirmed is not None)
        return LocatedFace(self._landmarks.locate(image, best), roll_is_certain=True)

    def _best_in(self, image: NDArray[np.uint8], view: Region) -> DetectedFace | None:
        """The best face in the middle of a view, in pixels of the picture, with an upright box of its size."""
        reduced, scale = reduce(image, view.side, _VIEW_SIDE)
        region = Region(view.centre * scale, view.side * scale[0], view.angle)
        middle = _VIEW_SIDE / 2
        for face in self._detector.detect(region.crop(reduced, _VIEW_SIDE)):
            if face.score >= _CERTAIN and np.abs(face.centre - middle).max() < middle / 2:
                matrix = view.matrix(_VIEW_SIDE)
                points = np.vstack([face.centre, face.keypoints]) @ matrix[:, :2].T + matrix[:, 2]
                half = face.size * (view.side / _VIEW_SIDE) / 2
                return DetectedFace(np.concatenate([points[0] - half, points[0] + half]), points[1:], face.score)
        return None


def quarter_turns(roll: float) -> int:
    """Quarter turns counter-clockwise, 0 to 3, that turn a picture upright whose face has a ``roll`` in degrees.

    0 for a tilted head, up to 70 degrees.
    """
    return round(roll / 90) % 4 if abs(roll) > LARGEST_ROLL else 0


def upright(image: NDArray[np.uint8], mesh: FaceMesh) -> tuple[NDArray[np.uint8], FaceMesh]:
    """Turn ``image`` [H, W, 3] and the landmarks of its face by ``quarter_turns``; both as they are when that is 0."""
    turns = quarter_turns(mesh.roll)
    if not turns:
        return image, mesh
    right, bottom = image.shape[1] - 1, image.shape[0] - 1
    x, y, z = mesh.points.T
    turned = {1: (y, right - x, z), 2: (right - x, bottom - y, z), 3: (bottom - y, x, z)}[turns]
    picture = np.asarray(cv2.rotate(image, _ROTATIONS[turns]), np.uint8)
    return picture, FaceMesh(np.stack(turned, axis=1), mesh.score)
