"""The mouth's backward map: for each output pixel its source position in the portrait."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.infer.puppet.bases import Field, Grid, MouthBases
from stages.infer.puppet.geometry import FaceGeometry, Points

_ITERATIONS = 3


def invert(forward: Field, grid: Grid, nodes: Field, iterations: int = _ITERATIONS) -> Field:
    """Invert a forward displacement by the fixed point q = p - D(q).

    forward: [rows, columns, 2] pixels on the grid; nodes: [rows, columns, 2], the nodes' own (column, row). Returns
    q - p at every node p, [rows, columns, 2]. Converges where D's slope stays below one, as the bases' amplitudes do.
    """
    density = np.array([*grid.density, 0.0, 0.0])
    displacement = forward
    for _ in range(iterations - 1):
        positions = cv2.subtract(nodes, cv2.multiply(displacement, density))
        sampled = cv2.remap(forward, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        displacement = np.asarray(sampled, np.float32)
    return -displacement


@dataclass(frozen=True)
class LipLayers:
    """Two backward maps of the mouth's box and their weights.

    upper, lower: [box height, box width, 2], pixels from an output pixel to its source above and below the lip line;
    share: [box height, box width], the weight of ``lower``, 0 above .. 1 below.
    """

    upper: Field
    lower: Field
    share: Field

    def combined(self) -> Field:
        """One map [box height, box width, 2]. Near the line between open lips it points into the opening."""
        return np.asarray(cv2.blendLinear(self.upper, self.lower, 1 - self.share, self.share), np.float32)


class MouthWarp:
    """Backward maps of the mouth's box: the upper lip's field above the lip line, the lower lip's below."""

    def __init__(self, face: FaceGeometry, bases: MouthBases) -> None:
        self.box = bases.grid.box
        self._bases, self._grid = bases, bases.grid
        nodes = self._grid.nodes().astype(np.float32)
        self._nodes = self._grid.index_of(nodes)
        self._along = nodes @ face.across.astype(np.float32)
        self._below = nodes @ face.down.astype(np.float32)
        self._across, self._down = face.across, face.down

    def __call__(self, amounts: npt.NDArray[np.float32], upper: Points, lower: Points) -> LipLayers:
        """Compute the maps; amounts: mouth parameters; upper, lower: the inner lip curves for them."""
        middle = (upper + lower) / 2
        along, below = middle @ self._across, middle @ self._down
        distance = self._below - np.interp(self._along, along, below)
        outside = np.maximum(0, np.maximum(along[0] - self._along, self._along - along[-1]))
        # The transition has about one pixel between the lips and widens beyond the corners, where both fields agree.
        ramp = 1 / (0.8 + 0.56 * outside).astype(np.float32)
        share = self._fine(distance.astype(np.float32)) * self._fine(ramp) + np.float32(0.5)
        return LipLayers(
            self._fine(invert(np.tensordot(amounts, self._bases.upper, 1), self._grid, self._nodes)),
            self._fine(invert(np.tensordot(amounts, self._bases.lower, 1), self._grid, self._nodes)),
            np.clip(share, 0, 1),
        )

    def _fine(self, coarse: Field) -> Field:
        """Resample from the grid's nodes to the box's pixels."""
        return np.asarray(cv2.resize(coarse, (self.box.width, self.box.height), interpolation=cv2.INTER_LINEAR))
