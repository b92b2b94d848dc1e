"""Compares the frames with the portrait outside the face."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.crop import Picture
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.media import open_media

_MARGIN = 0.6
"""Margin around the landmarks' box, in its longer side: nothing further out belongs to the face."""
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """Difference from the reference portrait outside the face, over all compared frames."""

    max_difference: int
    """Largest difference of one channel of one pixel, 0..255."""
    psnr_db: float | None
    """None: no difference."""


class IdentityMeter:
    """Accumulates differences frame by frame."""

    def __init__(self, portrait: Picture, points: NDArray[np.float64]) -> None:
        """portrait: [H, W, 3], the size of the frames; points: [n, 68, 2], landmarks of all frames in pixels."""
        low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
        margin = _MARGIN * float(max(high - low))
        left, top = np.maximum(np.floor(low - margin), 0).astype(int)
        right, bottom = np.ceil(high + margin).astype(int)
        self._portrait = portrait.astype(np.int16)
        self._outside = np.ones(portrait.shape[:2], np.bool_)
        self._outside[top:bottom, left:right] = False
        self._largest, self._squares, self._count = 0, 0, 0

    def add(self, picture: Picture) -> None:
        """Add one frame [H, W, 3]."""
        difference = np.abs(picture.astype(np.int16) - self._portrait)[self._outside].astype(np.int64)
        self._largest = max(self._largest, int(difference.max(initial=0)))
        self._squares += int(np.square(difference).sum())
        self._count += difference.size

    def result(self) -> Identity | None:
        """The accumulated difference; None when the face fills the frame or no frame was added."""
        if not self._count:
            return None
        mean = self._squares / self._count
        return Identity(self._largest, float(10 * np.log10(255**2 / mean)) if mean else None)


def load_portrait(path: Path, width: int, height: int) -> Picture:
    """Load the portrait at the size of the video, [height, width, 3].

    Raises EvaluationError when it can't be read or has another aspect ratio: a video that shows a part of the portrait
    can't be compared with the whole.
    """
    with open_media(path) as file:
        frame = next(iter(file.decode(video=0)), None) if file.streams.video else None
        if frame is None:
            raise EvaluationError(f"{path} holds no picture")
        if abs(frame.width / frame.height / (width / height) - 1) > _ASPECT_TOLERANCE:
            raise EvaluationError(
                f"the portrait has {frame.width} x {frame.height} pixels, the video {width} x {height}",
                "the video must show the whole portrait (framing original)",
            )
        return np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA"), np.uint8)
