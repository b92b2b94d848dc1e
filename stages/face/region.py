"""Rotated squares of a picture, as networks look at a face."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Above this ratio the picture is reduced first: bilinear sampling of the crop would alias.
_LARGEST_STEP = 2.0


@dataclass(frozen=True)
class Region:
    """A rotated square of the picture: centre and side in pixels, angle in radians, positive clockwise."""

    centre: NDArray[np.float64]
    side: float
    angle: float

    def matrix(self, crop_side: int) -> NDArray[np.float64]:
        """[2, 3] from pixels of a crop of ``crop_side`` x ``crop_side`` pixels to pixels of the picture."""
        scaled = rotation(self.angle) * (self.side / crop_side)
        middle = np.full(2, crop_side / 2)
        return np.column_stack([scaled, self.centre - scaled @ middle])

    def crop(self, image: NDArray[np.uint8], crop_side: int) -> NDArray[np.uint8]:
        """Cut the region out of ``image`` [H, W, 3] as [crop_side, crop_side, 3]; black outside the picture."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = crop_side, crop_side
        crop = cv2.warpAffine(image, self.matrix(crop_side), size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(crop, np.uint8)


def reduce(image: NDArray[np.uint8], side: float, crop_side: int) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Reduce the picture when a region of ``side`` pixels is much larger than the crop; returns it and both factors."""
    step = side / crop_side
    if step <= _LARGEST_STEP:
        return image, (1.0, 1.0)
    height, width = image.shape[:2]
    size = max(1, round(width * _LARGEST_STEP / step)), max(1, round(height * _LARGEST_STEP / step))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, (size[0] / width, size[1] / height)


def angle_of(direction: NDArray[np.float64]) -> float:
    """The angle of a direction (x, y) in radians, positive clockwise in a picture."""
    return float(np.arctan2(direction[1], direction[0]))


def rotation(angle: float) -> NDArray[np.float64]:
    """The matrix [2, 2] that rotates points by ``angle`` radians, clockwise in a picture."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
