"""The soft mask of the face."""

import cv2
import numpy as np
from numpy.typing import NDArray

FEATHER = 0.04
"""Standard deviation of the edge, in sizes of the face."""


def face_mask(points: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """Mask [height, width] uint8: 255 inside the convex hull of the landmarks [N, >= 2], a soft edge, 0 outside."""
    hull = cv2.convexHull(points[:, :2].astype(np.float32))
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 255)
    size = float(np.ptp(points[:, :2], axis=0).max())
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(size * FEATHER, 0.5)), np.uint8)
