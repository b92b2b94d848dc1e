"""Looks for faces in ever harder ways: whole picture, overlapping tiles, turned pictures."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.face.detector import DetectedFace, blend_overlapping

TILE_GRIDS = (2, 4, 8)
TILE_OVERLAP = 1.5
"""Side of a tile in cells of its grid: a face on a border lies whole in the neighbour."""
# Share of the smaller box from which a box found in one tile is a part of one found in another.
_PART = 0.6
# The harder ways look at much more texture: cats, engines and cups reach 0.77 or pass `is_face`, never both.
_SURE = 0.65
# Nor does a tile of an enlarged texture show a face of a few pixels.
_MIN_SIZE = 12.0
# Below this a face may lie on its side or upside down (upright ones reach 0.85 and more),
_UPRIGHT = 0.75
# which shows in a score that is higher by this in a turned picture.
_CLEARLY = 0.1

Image = NDArray[np.uint8]


class Detector(Protocol):
    """Finds faces in one view of a picture."""

    def detect(self, image: Image) -> list[DetectedFace]: ...


class FaceSearch:
    """The order of looking; the first way that finds any face ends the search.

    The full-range network covers faces from about 5 % of the picture's width, the short-range one close ones, tiles the
    small ones (2 % of the width). Turned faces are found up to a point, but with eyes and mouth in the wrong places, so
    an unsure find is looked at in the turned picture too. `is_face` gives the last word on finds of the harder ways,
    where textures look like faces now and then.
    """

    def __init__(
        self, full_range: Detector, short_range: Detector, is_face: Callable[[Image, DetectedFace], bool]
    ) -> None:
        self._full_range = full_range
        self._short_range = short_range
        self._is_face = is_face

    def find(self, image: Image) -> list[DetectedFace]:
        """Faces of `image` [H, W, 3], best score first; empty when there are none."""
        faces = self._full_range.detect(image)
        if faces:
            return faces if faces[0].score >= _UPRIGHT else self._best_turned(image, faces)
        for attempt in self._harder_ways(image):
            faces = [face for face in attempt if self._is_certain(image, face)]
            if faces:
                return faces
        return []

    def _is_certain(self, image: Image, face: DetectedFace) -> bool:
        return face.score >= _SURE and min(face.size) >= _MIN_SIZE and self._is_face(image, face)

    def _best_turned(self, image: Image, upright: list[DetectedFace]) -> list[DetectedFace]:
        best = upright
        for quarter_turns in (1, 2, 3):
            faces = self._turned(image, quarter_turns, self._full_range)
            if faces and faces[0].score > best[0].score + _CLEARLY and self._is_face(image, faces[0]):
                best = faces
        return best

    def _harder_ways(self, image: Image) -> Iterator[list[DetectedFace]]:
        yield self._short_range.detect(image)
        for cells in TILE_GRIDS:
            yield self._in_tiles(image, cells)
        for quarter_turns in (2, 1, 3):
            for detector in (self._full_range, self._short_range):
                yield self._turned(image, quarter_turns, detector)

    def _turned(self, image: Image, quarter_turns: int, detector: Detector) -> list[DetectedFace]:
        turned = np.ascontiguousarray(np.rot90(image, quarter_turns))
        return [turned_back(face, quarter_turns, image.shape[:2]) for face in detector.detect(turned)]

    def _in_tiles(self, image: Image, cells: int) -> list[DetectedFace]:
        found = []
        for top, bottom, left, right in tiles(image.shape[:2], cells):
            view = np.ascontiguousarray(image[top:bottom, left:right])
            found += [face.moved((left, top)) for face in self._full_range.detect(view)]
        if not found:
            return []
        merged = blend_overlapping(
            np.stack([face.box for face in found]),
            np.stack([face.keypoints for face in found]),
            np.array([face.score for face in found]),
        )
        return without_parts(merged)


def tiles(shape: tuple[int, ...], cells: int) -> Iterator[tuple[int, int, int, int]]:
    """Overlapping tiles (top, bottom, left, right) of a picture (height, width), `cells` a side, evenly spread."""
    height, width = shape[:2]
    side = min(1.0, TILE_OVERLAP / cells)
    starts = np.linspace(0, 1 - side, cells)
    for y, x in product(starts, starts):
        yield round(y * height), round((y + side) * height), round(x * width), round((x + side) * width)


def turned_back(face: DetectedFace, quarter_turns: int, shape: tuple[int, ...]) -> DetectedFace:
    """A face found in `numpy.rot90(image, quarter_turns)`, in pixels of `image` of `shape` (height, width)."""
    height, width = shape[:2]
    corners = np.concatenate([face.box.reshape(2, 2), face.keypoints])
    x, y = corners[:, 0], corners[:, 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter_turns]
    points = np.stack(back, axis=1)
    box = np.concatenate([points[:2].min(axis=0), points[:2].max(axis=0)])
    return DetectedFace(box, points[2:], face.score)


def without_parts(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Drop boxes that lie mostly inside a larger one: halves of a face that a tile has cut."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda f: f.area, reverse=True):
        if all(_common_area(face, larger) < _PART * face.area for larger in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: f.score, reverse=True)


def _common_area(a: DetectedFace, b: DetectedFace) -> float:
    sides = np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2])
    return float(np.prod(np.clip(sides, 0, None)))
