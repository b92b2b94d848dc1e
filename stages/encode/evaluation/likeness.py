"""How similar the face of a frame is to the portrait's: sharpness and features, each 0..1."""

import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.crop import Picture, Square, crop_square

_SIDE = 32
_UPPER = 20
"""Rows from the forehead to below the nose: the mouth is expected to change."""
_DIFFERENT, _SIMILAR = 0.5, 0.85
"""Correlation of a mirrored or another face, and of the same face that blinks and nods."""
_BLURRED, _SHARP = 0.15, 0.6
"""Share of the portrait's fine contrast; coding alone leaves 0.65 and more of it."""


class Likeness:
    """Compares frames with a portrait of the same size."""

    def __init__(self, portrait: Picture, square: Square) -> None:
        """``square`` is the portrait's face."""
        self._features = _features(portrait, square)
        self._contrast = _fine_contrast(portrait, square)

    def score(self, picture: Picture, square: Square) -> float:
        """The lower of sharpness and similarity of the face in ``square``."""
        return min(self.sharpness(picture, square), self.similarity(picture, square))

    def sharpness(self, picture: Picture, square: Square) -> float:
        """Fine contrast of the face relative to the portrait's."""
        share = _fine_contrast(picture, square) / max(self._contrast, 1e-6)
        return _ramp(share, _BLURRED, _SHARP)

    def similarity(self, picture: Picture, square: Square) -> float:
        """Correlation of the upper face, 32 pixels wide, with the portrait's."""
        return _ramp(float(np.mean(self._features * _features(picture, square))), _DIFFERENT, _SIMILAR)


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))


def _features(picture: Picture, square: Square) -> NDArray[np.float32]:
    grey = crop_square(picture, square, _SIDE)[:_UPPER].mean(axis=2)
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
