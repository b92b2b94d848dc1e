"""Shades the skin around the moving mouth: warped pixels keep the light of the portrait's own pose.

Opening and spreading deepen the fold from the nose to the mouth's corner, an open jaw hollows the cheeks, and a raised
or pursed lower lip shades the skin below it.
"""

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.bases import Grid
from stages.infer.puppet.displacement import OPEN, PARAMETERS, ROUND, TUCK, WIDE
from stages.infer.puppet.geometry import Box, FaceGeometry, Points

_FOLD, _CHEEK, _UNDER_LIP = 0.07, 0.05, 0.07
"""Share of the light that is lost in the middle of each shade at full movement."""
_HALF_SIDE = 1.1
"""Half the side of the shaded box in mouth widths."""
_GRID = 96
_BORDER = 0.08


class Shading:
    """The shades of one face: one map per mouth parameter."""

    def __init__(self, face: FaceGeometry) -> None:
        centre, reach = face.mouth_centre, _HALF_SIDE * face.mouth_width
        self.box = Box(*(int(v) for v in (*(centre - reach), *(centre + reach + 1)))).grown(0, face.picture)
        grid = Grid.over(self.box, _GRID)
        nodes = grid.nodes()
        fold, cheek = np.zeros(nodes.shape[:2]), np.zeros(nodes.shape[:2])
        for side, (line, hollow) in enumerate(zip(lm.NASOLABIAL, lm.CHEEK_HOLLOW, strict=True)):
            visible = min(1.0, face.half_widths[side] / 0.46)  # the far side of a turned head shows less of its cheek
            fold += visible * _near(nodes, face.contour(line), 0.085 * face.mouth_width)
            cheek += visible * _near(nodes, face.contour(hollow), 0.26 * face.mouth_width)
        under = _near(nodes, face.contour(lm.UNDER_LIP), 0.095 * face.mouth_width)
        maps = np.zeros((len(PARAMETERS), *nodes.shape[:2]))
        maps[OPEN] = _FOLD * fold + _CHEEK * cheek
        maps[WIDE] = 0.7 * _FOLD * fold
        maps[ROUND] = _UNDER_LIP * under - 0.4 * _FOLD * fold
        maps[TUCK] = _UNDER_LIP * under
        self._maps = (maps * (grid.border_fade(_BORDER) * _on_face(face, grid))).astype(np.float32)

    def paint(self, frame: npt.NDArray[np.uint8], amounts: npt.NDArray[np.float32], shift: tuple[int, int]) -> None:
        """Shade a frame in place; amounts: mouth parameters; shift: displacement of the mouth by the head, pixels."""
        loss = np.tensordot(amounts, self._maps, 1)
        light = cv2.resize(1 - np.clip(loss, -0.1, 0.3), (self.box.width, self.box.height))
        rows, columns = frame.shape[:2]
        x0, y0 = self.box.x0 + shift[0], self.box.y0 + shift[1]
        x, y = max(0, x0), max(0, y0)
        right, bottom = min(columns, x0 + self.box.width), min(rows, y0 + self.box.height)
        if right <= x or bottom <= y:
            return
        patch = frame[y:bottom, x:right]
        factor = np.ascontiguousarray(light[y - y0 : bottom - y0, x - x0 : right - x0])
        patch[:] = cv2.multiply(patch, cv2.merge([factor] * 3), dtype=cv2.CV_8U)


def _on_face(face: FaceGeometry, grid: Grid) -> npt.NDArray[np.float64]:
    """[rows, columns] 1 on the face, fading to 0 at its outline: the background keeps its light."""
    step = max(grid.box.width, grid.box.height) / max(grid.columns, grid.rows)
    nodes = (face.points[:468] - (grid.box.x0, grid.box.y0) + 0.5) / step - 0.5
    mask = np.zeros((grid.rows, grid.columns), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(nodes).astype(np.int32)), 255)
    inner = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 3)
    return np.clip(np.asarray(inner[1:-1, 1:-1], np.float64) * step / (0.12 * face.mouth_width), 0, 1)


def _near(nodes: Points, line: Points, spread: float) -> npt.NDArray[np.float64]:
    """[rows, columns] 1 on a polyline [n, 2], a Gaussian of standard deviation ``spread`` beside it."""
    distance = np.full(nodes.shape[:2], np.inf)
    for a, b in pairwise(line):
        segment = b - a
        t = np.clip((nodes - a) @ segment / max(float(segment @ segment), 1e-9), 0, 1)
        distance = np.minimum(distance, np.linalg.norm(nodes - a - t[..., None] * segment, axis=2))
    result: npt.NDArray[np.float64] = np.exp(-0.5 * (distance / spread) ** 2)
    return result
