"""Dense linear bases of the mouth's movement: one displacement field per parameter and lip."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.displacement import PARAMETERS, Displacements
from stages.infer.puppet.geometry import Box, FaceGeometry, Points
from stages.infer.puppet.rbf import RadialBasis

Field = npt.NDArray[np.float32]

GRID = 96
"""Nodes along the longer side of the moving box."""
_COARSE_GRID = 40
_STILL = 0.004
"""A displacement below this, in mouth widths, counts as still."""
_SMOOTHING = 1e-3
_BORDER = 0.06


@dataclass(frozen=True)
class Grid:
    """Nodes evenly spaced over a box, at the pixel centres of a smaller picture of it (half-pixel centres)."""

    box: Box
    columns: int
    rows: int

    @classmethod
    def over(cls, box: Box, longest: int) -> "Grid":
        step = max(1.0, max(box.width, box.height) / longest)
        return cls(box, max(4, round(box.width / step)), max(4, round(box.height / step)))

    def nodes(self) -> Points:
        """Positions [rows, columns, 2] in picture pixels."""
        x = (np.arange(self.columns) + 0.5) * self.box.width / self.columns - 0.5 + self.box.x0
        y = (np.arange(self.rows) + 0.5) * self.box.height / self.rows - 0.5 + self.box.y0
        return np.stack(np.meshgrid(x, y), axis=2)

    def index_of(self, points: Field) -> Field:
        """Picture pixels [..., 2] as fractional (column, row) of this grid, for sampling a field."""
        scale = np.array(self.density, np.float32)
        offset = (0.5 - np.array([self.box.x0, self.box.y0], np.float32)) * scale - np.float32(0.5)
        return points * scale + offset

    @property
    def density(self) -> tuple[float, float]:
        """Columns and rows per pixel."""
        return self.columns / self.box.width, self.rows / self.box.height

    def border_fade(self, fraction: float) -> Points:
        """[rows, columns] from 0 at the border to 1 at the given fraction of the box inside it."""
        x, y = (np.arange(self.columns) + 0.5) / self.columns, (np.arange(self.rows) + 0.5) / self.rows
        edge = np.minimum(np.minimum(x, 1 - x)[None, :], np.minimum(y, 1 - y)[:, None])
        return np.clip(edge / fraction, 0, 1)


@dataclass(frozen=True)
class MouthBases:
    """Forward displacement of picture points for each parameter, in pixels.

    upper, lower: [len(PARAMETERS), rows, columns, 2]; ``upper`` applies above the lip line and ignores the lower lip.
    """

    grid: Grid
    upper: Field
    lower: Field


def _control_points(face: FaceGeometry, moves: Displacements, ignored: set[int]) -> tuple[Points, Points]:
    """Positions [n, 2] and values [n, parameters * 2] of the field's control points, without duplicates."""
    box, indices = face.region, [i for i in moves if i not in ignored]
    x, y = np.linspace(box.x0, box.x1, 9), np.linspace(box.y0, box.y1, 9)
    border = [(a, b) for a in x for b in (box.y0, box.y1)] + [(a, b) for a in (box.x0, box.x1) for b in y[1:-1]]
    still = np.vstack([face.contour(lm.UPPER_OVAL), border])
    points = np.vstack([face.points[indices], still])
    values = np.vstack([np.stack([moves[i].ravel() for i in indices]), np.zeros((len(still), len(PARAMETERS) * 2))])
    _, first = np.unique(points.round(1), axis=0, return_index=True)
    first.sort()
    return points[first], values[first]


def mouth_bases(face: FaceGeometry, moves: Displacements) -> MouthBases:
    """Interpolate the landmarks' displacements over the moving part of the face."""
    corners = {lm.CORNER_LEFT, lm.CORNER_RIGHT, lm.INNER_CORNER_LEFT, lm.INNER_CORNER_RIGHT}
    upper_only = {i for ring in lm.UPPER_LIP for i in ring} - corners
    lower_only = {i for ring in lm.LOWER_LIP for i in ring[1:-1]}
    fields = []
    for ignored in (lower_only, upper_only):
        points, values = _control_points(face, moves, ignored)
        fields.append(RadialBasis(points / face.eye_distance, values, smoothing=_SMOOTHING))

    def interpolate(basis: RadialBasis, grid: Grid) -> Field:
        nodes = grid.nodes().reshape(-1, 2)
        field = basis(nodes / face.eye_distance).reshape(grid.rows, grid.columns, len(PARAMETERS), 2)
        field *= grid.border_fade(_BORDER)[:, :, None, None]
        return np.ascontiguousarray(field.transpose(2, 0, 1, 3), dtype=np.float32)

    coarse = Grid.over(face.region, _COARSE_GRID)
    moving = np.zeros((coarse.rows, coarse.columns), bool)
    for basis in fields:
        moving |= np.abs(interpolate(basis, coarse)).max(axis=(0, 3)) > _STILL * face.mouth_width
    ys, xs = (np.flatnonzero(moving.any(axis=axis)) for axis in (1, 0))
    cell_x, cell_y = face.region.width / coarse.columns, face.region.height / coarse.rows
    box = Box(
        face.region.x0 + int(xs[0] * cell_x),
        face.region.y0 + int(ys[0] * cell_y),
        face.region.x0 + int(np.ceil((xs[-1] + 1) * cell_x)),
        face.region.y0 + int(np.ceil((ys[-1] + 1) * cell_y)),
    )
    grid = Grid.over(box.grown(2, face.region), GRID)
    return MouthBases(grid, interpolate(fields[0], grid), interpolate(fields[1], grid))
