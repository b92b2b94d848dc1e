"""Whether the picture outside the face is still the portrait's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.encode.judge.crop import Picture
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.footage import opened

_MARGIN = 0.6
"""Around the box of the landmarks, in its longer side: nothing further out belongs to the face."""
_SHAPE = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """Against the reference portrait, outside the face, over all frames that were compared."""

    max_difference: int
    """Largest difference of one channel of one pixel, 0..255."""
    psnr_db: float | None
    """None: no difference at all."""


class IdentityMeter:
    """Collects differences frame by frame."""

    def __init__(self, portrait: Picture, points: NDArray[np.float64]) -> None:
        """portrait: as large as the frames; points: [n, 68, 2], the landmarks of all frames, pixels."""
        low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
        margin = _MARGIN * float(max(high - low))
        left, top = np.maximum(np.floor(low - margin), 0).astype(int)
        right, bottom = np.ceil(high + margin).astype(int)
        self._portrait = portrait.astype(np.int16)
        self._outside = np.ones(portrait.shape[:2], np.bool_)
        self._outside[top:bottom, left:right] = False
        self._largest, self._squares, self._count = 0, 0, 0

    def add(self, picture: Picture) -> None:
        """One frame [H, W, 3]."""
        difference = np.abs(picture.astype(np.int16) - self._portrait)[self._outside].astype(np.int64)
        self._largest = max(self._largest, int(difference.max(initial=0)))
        self._squares += int(np.square(difference).sum())
        self._count += difference.size

    def result(self) -> Identity | None:
        """None when the face fills the frame or nothing was added."""
        if not self._count:
            return None
        mean = self._squares / self._count
        return Identity(self._largest, float(10 * np.log10(255**2 / mean)) if mean else None)


def load_portrait(path: Path, width: int, height: int) -> Picture:
    """The portrait at the size of the video [height, width, 3].

    Raises Unjudgeable when it can't be read, or has another shape: a video that shows a part of the portrait can't be
    compared with the whole.
    """
    with opened(path) as file:
        frame = next(iter(file.decode(video=0)), None) if file.streams.video else None
        if frame is None:
            raise Unjudgeable(f"{path} holds no picture")
        if abs(frame.width / frame.height / (width / height) - 1) > _SHAPE:
            raise Unjudgeable(
                f"the portrait has {frame.width} x {frame.height} pixels, the video {width} x {height}",
                "the video must show the whole portrait (framing original)",
            )
        return np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA"), np.uint8)
