"""The lips' inner contours for given mouth parameters, as smooth curves."""

import numpy as np
import numpy.typing as npt

from stages.infer.puppet import landmarks as lm
from stages.infer.puppet.displacement import PARAMETERS, Displacements
from stages.infer.puppet.geometry import FaceGeometry, Points

SAMPLES = 51
"""Points on each curve."""
_OUTWARD = 0.6
"""Share of the way from an inner to an outer corner."""


def spline_matrix(knots: int, samples: int) -> Points:
    """Natural cubic spline over equally spaced knots, as a linear map [samples, knots] of the knots' values."""
    second = np.zeros((knots, knots))
    system = np.eye(knots)
    for i in range(1, knots - 1):
        system[i, i - 1 : i + 2] = (1, 4, 1)
        second[i, i - 1 : i + 2] = (6, -12, 6)
    curvature = np.linalg.solve(system, second)
    positions = np.linspace(0, knots - 1, samples)
    left = np.minimum(positions.astype(int), knots - 2)
    b = positions - left
    a = 1 - b
    unit = np.eye(knots)
    cubic = ((a**3 - a) / 6)[:, None] * curvature[left] + ((b**3 - b) / 6)[:, None] * curvature[left + 1]
    result: Points = a[:, None] * unit[left] + b[:, None] * unit[left + 1] + cubic
    return result


class LipCurves:
    """Inner lip contours of one face as functions of the mouth parameters."""

    def __init__(self, face: FaceGeometry, moves: Displacements) -> None:
        spline = spline_matrix(len(lm.UPPER_INNER), SAMPLES)
        still = np.zeros((len(PARAMETERS), 2))
        self._rest, self._moves = [], []
        for contour in (lm.UPPER_INNER, lm.LOWER_INNER):
            rest, move = face.contour(contour), np.stack([moves.get(i, still) for i in contour])
            # The lips part further outward than the inner corners: otherwise skin remains beside the dark corner.
            for end, outer in ((0, lm.CORNER_LEFT), (-1, lm.CORNER_RIGHT)):
                rest[end] += _OUTWARD * (face.points[outer] - rest[end])
                move[end] += _OUTWARD * (moves[outer] - move[end])
            self._rest.append(spline @ rest)
            self._moves.append(np.einsum("sk,kpd->psd", spline, move))
        self._down = face.down

    def __call__(self, amounts: npt.NDArray[np.float32]) -> tuple[Points, Points]:
        """Upper and lower curve, [SAMPLES, 2] picture pixels each, for parameters [len(PARAMETERS)].

        The curves do not cross: where they would, both take their mean.
        """
        upper, lower = (r + np.tensordot(amounts, m, 1) for r, m in zip(self._rest, self._moves, strict=True))
        crossed = (lower - upper) @ self._down < 0
        middle = (upper + lower) / 2
        upper[crossed] = lower[crossed] = middle[crossed]
        return upper, lower
