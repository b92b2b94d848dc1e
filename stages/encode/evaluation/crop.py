"""Crops squares of any position, size and angle, with NumPy alone: the encode stage does not install OpenCV."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""[H, W, 3] RGB."""


@dataclass(frozen=True, slots=True)
class Square:
    """A rotated square: centre (x, y) and side in pixels, angle in radians; a pixel covers [i, i + 1)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def scaled(self, factor: float) -> "Square":
        """The same centre and angle, the side times ``factor``."""
        return Square(self.x, self.y, self.side * factor, self.angle)

    def points(self, unit: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points [..., 2] of the unit square to pixels of the picture."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rotation = np.array([[cosine, sine], [-sine, cosine]]) * self.side
        return np.asarray((unit - 0.5) @ rotation + (self.x, self.y), np.float64)


def crop_square(picture: Picture, square: Square, side: int) -> NDArray[np.float32]:
    """Crop ``square`` to [side, side, 3] float32 0..255; black outside the picture.

    Sampling is bilinear, after a mean over whole blocks where several pixels of the picture fall on one of the crop.
    """
    corners = square.points(np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float64))
    block = max(1, int(square.side / side))
    shape = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - block, 0, shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + block, 0, shape)
    columns, rows = (high - low) // block
    if columns < 1 or rows < 1:
        return np.zeros((side, side, 3), np.float32)
    pixels = picture[low[1] : low[1] + rows * block, low[0] : low[0] + columns * block]
    part = pixels if block == 1 else _block_means(pixels, block)
    centres = (np.arange(side) + 0.5) / side
    unit = np.stack(np.meshgrid(centres, centres), axis=-1)
    return _bilinear(np.pad(part, ((1, 1), (1, 1), (0, 0))), (square.points(unit) - low) / block + 0.5)


def _block_means(part: NDArray[np.uint8], block: int) -> NDArray[np.float32]:
    """Means of whole blocks of [rows * block, columns * block, 3].

    Sums of strided views: NumPy's mean over two of five axes takes nine times as long.
    """
    total = np.zeros((part.shape[0] // block, part.shape[1] // block, 3), np.float32)
    for y in range(block):
        for x in range(block):
            total += part[y::block, x::block]
    return np.asarray(total / (block * block), np.float32)


def _bilinear(bordered: NDArray[np.generic], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sample at positions [..., 2] (x, y in pixel centres); the border of one black pixel extends to infinity."""
    height, width = bordered.shape[:2]
    positions = np.clip(positions, 0, np.array((width, height)) - 1 - 1e-6)
    whole = positions.astype(np.intp)
    share = (positions - whole).astype(np.float32)
    right, down = share[..., :1], share[..., 1:]
    pixels, first = bordered.reshape(height * width, -1), whole[..., 1] * width + whole[..., 0]
    top = pixels.take(first, axis=0) * (1 - right) + pixels.take(first + 1, axis=0) * right
    bottom = pixels.take(first + width, axis=0) * (1 - right) + pixels.take(first + width + 1, axis=0) * right
    return np.asarray(top * (1 - down) + bottom * down, np.float32)
