"""Interpolates scattered values in the plane by radial basis functions with a constant term."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Kernel = Literal["linear", "gaussian"]
_ROWS = 4096


def _distance(a: Array, b: Array) -> Array:
    squared: Array = np.subtract.outer(a[:, 0], b[:, 0]) ** 2
    squared += np.subtract.outer(a[:, 1], b[:, 1]) ** 2
    return np.sqrt(squared, out=squared)


def _kernel(distance: Array, kernel: Kernel, scale: float) -> Array:
    """Linear: -r, conditionally positive definite of order one; Gaussian: exp(-(scale r)^2)."""
    return -distance if kernel == "linear" else np.exp(-((scale * distance) ** 2))


class RadialBasis:
    """Interpolant (smoothing 0) or smoother of values at points of the plane.

    centres: [n, 2], all different; values: [n, c]. Raises numpy.linalg.LinAlgError when two centres coincide.
    """

    def __init__(
        self, centres: Array, values: Array, kernel: Kernel = "linear", *, scale: float = 1.0, smoothing: float = 0.0
    ) -> None:
        n = len(centres)
        system = np.zeros((n + 1, n + 1))
        system[:n, :n] = _kernel(_distance(centres, centres), kernel, scale) + smoothing * np.eye(n)
        system[n, :n] = system[:n, n] = 1.0
        self._weights = np.linalg.solve(system, np.vstack([values, np.zeros((1, values.shape[1]))]))
        self._centres, self._kernel, self._scale = centres, kernel, scale

    def __call__(self, points: Array) -> Array:
        """Values [m, c] at points [m, 2]; works in blocks to limit memory."""
        out = np.empty((len(points), self._weights.shape[1]))
        for start in range(0, len(points), _ROWS):
            block = _kernel(_distance(points[start : start + _ROWS], self._centres), self._kernel, self._scale)
            out[start : start + _ROWS] = block @ self._weights[:-1] + self._weights[-1]
        return out
