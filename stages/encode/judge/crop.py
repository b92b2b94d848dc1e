"""Cuts squares out of pictures, at any place, size and angle, in numpy alone: this room has no OpenCV."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""[H, W, 3] RGB."""


@dataclass(frozen=True, slots=True)
class Square:
    """A turned square: centre (x, y) and side in pixels, angle in radians; a pixel covers [i, i + 1)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def grown(self, factor: float) -> "Square":
        """The same centre and angle, the side times ``factor``."""
        return Square(self.x, self.y, self.side * factor, self.angle)

    def points(self, unit: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points [..., 2] of the unit square in pixels of the picture."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[cosine, sine], [-sine, cosine]]) * self.side
        return np.asarray((unit - 0.5) @ turn + (self.x, self.y), np.float64)


def cut(picture: Picture, square: Square, side: int) -> NDArray[np.float32]:
    """What ``square`` shows, [side, side, 3] float32 0..255; black outside the picture.

    Bilinear, after the mean over whole blocks where the picture has several pixels for one of the crop.
    """
    corners = square.points(np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float64))
    block = max(1, int(square.side / side))
    shape = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - block, 0, shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + block, 0, shape)
    columns, rows = (high - low) // block
    if columns < 1 or rows < 1:
        return np.zeros((side, side, 3), np.float32)
    part = picture[low[1] : low[1] + rows * block, low[0] : low[0] + columns * block]
    if block > 1:
        part = part.reshape(rows, block, columns, block, 3).mean(axis=(1, 3), dtype=np.float32)
    centres = (np.arange(side) + 0.5) / side
    unit = np.stack(np.meshgrid(centres, centres), axis=-1)
    return _bilinear(np.pad(part, ((1, 1), (1, 1), (0, 0))), (square.points(unit) - low) / block + 0.5)


def _bilinear(bordered: NDArray[np.generic], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Samples at [..., 2] (x, y in pixel centres); the border of one black pixel stands for everything outside."""
    limit = np.array(bordered.shape[1::-1]) - 1
    at = np.clip(at, 0, limit - 1e-6)
    whole = at.astype(int)
    share = (at - whole).astype(np.float32)
    x, y = whole[..., 0], whole[..., 1]
    right, down = share[..., :1], share[..., 1:]
    top = bordered[y, x] * (1 - right) + bordered[y, x + 1] * right
    bottom = bordered[y + 1, x] * (1 - right) + bordered[y + 1, x + 1] * right
    return np.asarray(top * (1 - down) + bottom * down, np.float32)
