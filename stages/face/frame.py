"""Crop and size of the video frame."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.face.landmarks import rescale

MAX_LONG_SIDE = 1920
MAX_PIXELS = 2_100_000
Framing = Literal["original", "face"]


@dataclass(frozen=True)
class Frame:
    """A rectangle of the source (pixels, left and top inclusive) and the size of the video it becomes (even)."""

    left: int
    top: int
    crop_width: int
    crop_height: int
    width: int
    height: int

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the rectangle."""
        return self.left, self.top, self.left + self.crop_width, self.top + self.crop_height

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop and resize ``image`` [H, W, 3] to [height, width, 3], by areas down, by Lanczos windows up."""
        crop = image[self.top : self.top + self.crop_height, self.left : self.left + self.crop_width]
        if crop.shape[:2] == (self.height, self.width):
            return np.ascontiguousarray(crop)
        grows = self.width > self.crop_width or self.height > self.crop_height
        method = cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA
        return np.asarray(cv2.resize(crop, (self.width, self.height), interpolation=method), np.uint8)

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map landmarks [N, 3] of the source to pixels of the picture."""
        shifted = points - (self.left, self.top, 0)
        return rescale(shifted, self.width / self.crop_width, self.height / self.crop_height)


def plan_frame(
    width: int,
    height: int,
    face_box: tuple[float, float, float, float],
    *,
    framing: Framing,
    expand_ratio: float,
    min_resolution: int,
) -> Frame:
    """Plan crop and size for a picture of ``width`` x ``height`` pixels.

    "original" keeps the whole picture. "face" crops a square around ``face_box`` (x0, y0, x1, y1) with a margin of
    ``expand_ratio`` box sizes on each side, moved inside the picture and at most as large as its short side. The short
    side of the video has ``min_resolution`` pixels, fewer only where the long side would exceed 1920 pixels or the area
    2.1 megapixels; smaller sources are enlarged, larger ones reduced.
    """
    left, top, crop_width, crop_height = 0, 0, width, height
    if framing == "face":
        left, top, side = _face_square(width, height, face_box, expand_ratio)
        crop_width = crop_height = side
    scale = min(
        min_resolution / min(crop_width, crop_height),
        MAX_LONG_SIDE / max(crop_width, crop_height),
        (MAX_PIXELS / (crop_width * crop_height)) ** 0.5,
    )
    return Frame(left, top, crop_width, crop_height, _even(crop_width * scale), _even(crop_height * scale))


def _face_square(
    width: int, height: int, box: tuple[float, float, float, float], expand_ratio: float
) -> tuple[int, int, int]:
    x0, y0, x1, y1 = box
    side = min(round(max(x1 - x0, y1 - y0) * (1 + 2 * expand_ratio)), width, height)
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def _even(length: float) -> int:
    """The nearest even number: 4:2:0 video halves both sides."""
    return max(2, 2 * round(length / 2))
