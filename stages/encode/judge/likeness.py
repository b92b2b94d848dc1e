"""How much of the portrait's face is left in a frame: its sharpness and its features, each 0..1."""

import numpy as np
from numpy.typing import NDArray

from stages.encode.judge.crop import Picture, Square, cut

_SIDE = 32
_UPPER = 20
"""Rows from the forehead to under the nose: the mouth is meant to change."""
_STRANGE, _ALIKE = 0.5, 0.85
"""Correlation of a face turned around or another one, and of the same one that blinks and nods."""
_BLURRED, _CLEAR = 0.15, 0.6
"""Share of the portrait's fine contrast; coding alone leaves 0.65 and more of it."""


class Likeness:
    """Compares frames with the portrait, which has their size."""

    def __init__(self, portrait: Picture, square: Square) -> None:
        """square: the portrait's face."""
        self._features = _features(portrait, square)
        self._contrast = _fine_contrast(portrait, square)

    def of(self, picture: Picture, square: Square) -> float:
        """The lower of sharpness and likeness of the face in ``square``."""
        return min(self.sharpness(picture, square), self.alike(picture, square))

    def sharpness(self, picture: Picture, square: Square) -> float:
        """Fine contrast of the face against the portrait's."""
        share = _fine_contrast(picture, square) / max(self._contrast, 1e-6)
        return _rising(share, _BLURRED, _CLEAR)

    def alike(self, picture: Picture, square: Square) -> float:
        """Correlation of the upper face, 32 pixels wide, with the portrait's."""
        return _rising(float(np.mean(self._features * _features(picture, square))), _STRANGE, _ALIKE)


def _rising(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _features(picture: Picture, square: Square) -> NDArray[np.float32]:
    grey = cut(picture, square, _SIDE)[:_UPPER].mean(axis=2)
    grey -= grey.mean()
    return np.asarray(grey / max(float(grey.std()), 1e-6), np.float32)


def _fine_contrast(picture: Picture, square: Square) -> float:
    """Mean size of the second difference of green over the upright square, 0..510."""
    half = square.side / 2
    top, left = max(0, int(square.y - half)), max(0, int(square.x - half))
    green = picture[top : int(square.y + half) + 1, left : int(square.x + half) + 1, 1].astype(np.int16)
    if min(green.shape) < 3:
        return 0.0
    return float(np.mean(np.abs(np.diff(green, 2, axis=0))) + np.mean(np.abs(np.diff(green, 2, axis=1)))) / 2
