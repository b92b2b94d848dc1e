"""The coordinate system of one face, in which all displacements and textures are measured."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """A box of whole pixels, right and bottom exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, for indexing a picture."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grown(self, margin: int, within: "Box") -> "Box":
        """This box with a margin on every side, clipped to another box."""
        return Box(
            max(within.x0, self.x0 - margin),
            max(within.y0, self.y0 - margin),
            min(within.x1, self.x1 + margin),
            min(within.y1, self.y1 + margin),
        )

    def union(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))


_FRONTAL = 0.46
"""Distance from the lips' middle to an inner corner of a mouth seen from the front, in mouth widths."""
_MIN_HALF_WIDTH = 0.12


class FaceGeometry:
    """Axes and sizes of the face in one picture; pixel centres lie on whole numbers.

    points: [478, 2] landmark positions; depth: [478], positive away from the camera, in pixels.
    across: unit vector from the picture's left mouth corner to the right; down: unit vector from mouth to chin.
    mouth_width: pixels between the corners, the unit of all mouth movement.
    midline, half_widths: position of the lips' middle beside the mouth's centre, and the distances of the left and the
    right inner corner from it, in mouth widths: a turned head shortens the far side.
    """

    def __init__(self, landmarks: npt.NDArray[np.float32], width: int, height: int) -> None:
        """landmarks: [478, 3] in pixels of a picture of ``width`` x ``height``."""
        self.points: Points = landmarks[:, :2].astype(np.float64)
        self.depth: Points = landmarks[:, 2].astype(np.float64)
        self.picture = Box(0, 0, width, height)
        p = self.points
        corner_to_corner = p[lm.CORNER_RIGHT] - p[lm.CORNER_LEFT]
        self.mouth_width = float(np.linalg.norm(corner_to_corner))
        self.across: Points = corner_to_corner / self.mouth_width
        self.mouth_centre: Points = (p[lm.INNER_CORNER_LEFT] + p[lm.INNER_CORNER_RIGHT]) / 2
        to_chin = p[lm.CHIN_TIP] - self.mouth_centre
        self.mouth_to_chin = float(np.linalg.norm(to_chin))
        self.down: Points = to_chin / self.mouth_to_chin
        middle = p[list(lm.LIPS_MIDDLE)].mean(axis=0)
        sides = (p[lm.INNER_CORNER_LEFT] - middle) @ self.across, (p[lm.INNER_CORNER_RIGHT] - middle) @ self.across
        self.midline = float((middle - self.mouth_centre) @ self.across) / self.mouth_width
        self.half_widths = tuple(max(_MIN_HALF_WIDTH, abs(float(side)) / self.mouth_width) for side in sides)
        self.eye_distance = float(np.linalg.norm(p[lm.EYE_OUTER_RIGHT] - p[lm.EYE_OUTER_LEFT]))
        self.low, self.high = p.min(axis=0), p.max(axis=0)
        self.face_width, self.face_height = (float(v) for v in self.high - self.low)
        self.region = self.around(0.45, 0.35, 0.45)
        """The face with a margin: nothing outside it moves with the mouth or the lids."""

    def foreshortening(self, u: float) -> float:
        """Apparent width of the side of ``u`` (negative: left), 1 seen from the front; scales sideways movement."""
        return self.half_widths[0 if u < 0 else 1] / _FRONTAL

    def frontal(self, u: Points) -> Points:
        """Map positions u, mouth widths right of the mouth's centre, to distances from the frontal midline."""
        offset = u - self.midline
        return offset * _FRONTAL / np.where(offset < 0, *self.half_widths)

    def around(self, side: float, above: float, below: float) -> Box:
        """The landmarks' box with margins in face widths (sides) and face heights, clipped to the picture."""
        margin = side * self.face_width
        return Box(
            max(0, int(self.low[0] - margin)),
            max(0, int(self.low[1] - above * self.face_height)),
            min(self.picture.x1, int(self.high[0] + margin)),
            min(self.picture.y1, int(self.high[1] + below * self.face_height)),
        )

    def contour(self, indices: lm.Contour) -> Points:
        """Positions [n, 2] of a contour's landmarks."""
        return self.points[list(indices)]

    def lip_gap(self) -> Points:
        """Gap [11] between the inner lips along the mouth in the portrait, pixels, at least 0."""
        return np.maximum(0.0, (self.contour(lm.LOWER_INNER) - self.contour(lm.UPPER_INNER)) @ self.down)
