"""Searches a picture for faces: whole, then rotated, then in overlapping tiles."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.face.detector import DetectedFace, blend_overlapping

TILE_GRIDS = (2, 4, 8)
TILE_OVERLAP = 1.5
"""Side of a tile in cells of its grid: a face on the border of a tile lies whole in the neighbour."""
_PART = 0.6
"""Share of its area from which a box counts as a part of a larger one, detected in another tile."""
_FALLBACK_SCORE = 0.65
"""Lowest score of a face in the fallback searches. They cover much more texture: cats, engines and cups reach 0.77 or
pass ``is_face``, never both."""
_MIN_SIZE = 12.0
"""Pixels: smaller faces in an enlarged tile are texture."""
_UPRIGHT_SCORE = 0.75
"""Below it a face may lie on its side or upside down; upright faces reach 0.85 and more."""
_ROTATION_GAIN = 0.1
"""Increase of the score by which a rotated picture shows the face upright."""

Image = NDArray[np.uint8]


class Detector(Protocol):
    """Detects faces in one view of a picture."""

    def detect(self, image: Image) -> list[DetectedFace]: ...


class FaceSearch:
    """Runs searches in order until one of them finds a face.

    The full-range network covers faces from about 5 % of the picture's width, the short-range one close faces, tiles
    the small ones (2 % of the width). Rotated faces are detected with eyes and mouth in wrong places, so a face with a
    low score is also searched in rotated pictures, and so is a picture without a face before its tiles: there, clothes
    of a person who is upside down resemble faces. ``is_face`` confirms the faces of all but the first search.
    """

    def __init__(
        self, full_range: Detector, short_range: Detector, is_face: Callable[[Image, DetectedFace], bool]
    ) -> None:
        self._full_range = full_range
        self._short_range = short_range
        self._is_face = is_face

    def find(self, image: Image) -> list[DetectedFace]:
        """Find the faces of ``image`` [H, W, 3], best score first; empty when there are none."""
        faces = self._full_range.detect(image)
        if not faces:
            faces = self._confirmed(image, self._short_range.detect(image))
        if faces and faces[0].score >= _UPRIGHT_SCORE:
            return faces
        faces = self._best_rotation(image, faces)
        for cells in TILE_GRIDS:
            if faces:
                break
            faces = self._confirmed(image, self._in_tiles(image, cells))
        return faces

    def _confirmed(self, image: Image, faces: list[DetectedFace]) -> list[DetectedFace]:
        return [
            face
            for face in faces
            if face.score >= _FALLBACK_SCORE and min(face.size) >= _MIN_SIZE and self._is_face(image, face)
        ]

    def _best_rotation(self, image: Image, upright: list[DetectedFace]) -> list[DetectedFace]:
        """The faces of the picture turned by 90, 180 or 270 degrees where they score clearly higher."""
        best, least = upright, upright[0].score + _ROTATION_GAIN if upright else 0.0
        for quarter_turns in (2, 1, 3):
            for detector in (self._full_range, self._short_range):
                faces = self._confirmed(image, self._in_rotated(image, quarter_turns, detector))
                if faces and faces[0].score > least:
                    best, least = faces, faces[0].score
        return best

    def _in_rotated(self, image: Image, quarter_turns: int, detector: Detector) -> list[DetectedFace]:
        rotated = np.ascontiguousarray(np.rot90(image, quarter_turns))
        return [rotate_back(face, quarter_turns, image.shape[:2]) for face in detector.detect(rotated)]

    def _in_tiles(self, image: Image, cells: int) -> list[DetectedFace]:
        faces: list[DetectedFace] = []
        for top, bottom, left, right in tiles(image.shape[:2], cells):
            view = np.ascontiguousarray(image[top:bottom, left:right])
            faces += [face.shifted((left, top)) for face in self._full_range.detect(view)]
        if not faces:
            return []
        merged = blend_overlapping(
            np.stack([face.box for face in faces]),
            np.stack([face.keypoints for face in faces]),
            np.array([face.score for face in faces]),
        )
        return remove_parts(merged)


def tiles(shape: tuple[int, ...], cells: int) -> Iterator[tuple[int, int, int, int]]:
    """Overlapping tiles (top, bottom, left, right) of a picture (height, width), ``cells`` per side, evenly spread."""
    height, width = shape[:2]
    side = min(1.0, TILE_OVERLAP / cells)
    starts = np.linspace(0, 1 - side, cells)
    for y, x in product(starts, starts):
        yield round(y * height), round((y + side) * height), round(x * width), round((x + side) * width)


def rotate_back(face: DetectedFace, quarter_turns: int, shape: tuple[int, ...]) -> DetectedFace:
    """Map a face of ``numpy.rot90(image, quarter_turns)`` to pixels of ``image`` of ``shape`` (height, width)."""
    height, width = shape[:2]
    corners = np.concatenate([face.box.reshape(2, 2), face.keypoints])
    x, y = corners[:, 0], corners[:, 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter_turns]
    points = np.stack(back, axis=1)
    box = np.concatenate([points[:2].min(axis=0), points[:2].max(axis=0)])
    return DetectedFace(box, points[2:], face.score)


def remove_parts(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Remove boxes that lie mostly inside a larger one: parts of a face at the border of a tile."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda f: f.area, reverse=True):
        if all(_common_area(face, larger) < _PART * face.area for larger in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: f.score, reverse=True)


def _common_area(a: DetectedFace, b: DetectedFace) -> float:
    sides = np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2])
    return float(np.prod(np.clip(sides, 0, None)))
