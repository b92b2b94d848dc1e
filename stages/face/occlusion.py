"""Detects an occluded mouth: a hand, a microphone or a mask in front of it.

The landmarks of an occluded mouth are plausible, because the network predicts them from the rest of the face. What is
missing is the appearance of a mouth: edges between the lips as strong as those of the eyes, lips redder than the brow's
skin, and equal red in both lips.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.face.landmarks import LEFT_EYE, RIGHT_EYE, FaceMesh

_SIDE = 96
_EXTENT = 1.3
"""Side of a crop in distances of the outer corners of the eyes."""
_LARGEST_STEP = 2.0
_NO_EDGES = 0.22
"""Contrast across the inner lips relative to the lids; the lowest of 36 faces with a visible mouth is 0.28."""
_NOT_RED = -5.0
"""Redness of the lips minus that of the brow, CIELAB a*; the lowest of the same faces is -2.5."""
_DIFFERENT = 14.0
"""Difference in redness of the two lips; the highest of the same faces is 11."""
_UPPER_EDGE = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
_LOWER_EDGE = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
_UPPER_SEAM = [308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78]
_LOWER_SEAM = [308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78]
_INNER_LIPS = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
_EYES = (
    [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7],
    [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249],
)
_BROW = [9, 108, 151, 337]

Points = NDArray[np.float64]


def mouth_is_occluded(image: NDArray[np.uint8], mesh: FaceMesh) -> bool:
    """Whether the mouth of ``mesh`` in ``image`` [H, W, 3] RGB is occluded."""
    points = mesh.points[:, :2]
    lips, lip_points = _crop(image, points, _INNER_LIPS)
    eyes = max(_contrast(*_crop(image, points, eye), eye) for eye in _EYES)
    if _contrast(lips, lip_points, _INNER_LIPS) < _NO_EDGES * eyes:
        return True
    upper, lower = (
        _redness(lips, _polygon(lip_points, edge + seam))
        for edge, seam in ((_UPPER_EDGE, _UPPER_SEAM), (_LOWER_EDGE, _LOWER_SEAM))
    )
    brow, brow_points = _crop(image, points, _BROW)
    brow_red = _redness(brow, _patches(brow_points))
    return (upper + lower) / 2 - brow_red < _NOT_RED or abs(upper - lower) > _DIFFERENT


def _crop(image: NDArray[np.uint8], points: Points, indices: list[int]) -> tuple[NDArray[np.uint8], Points]:
    """Crop a level square of 96 pixels around some landmarks; returns it and all landmarks in its pixels."""
    axis = points[LEFT_EYE] - points[RIGHT_EYE]
    width = max(float(np.linalg.norm(axis)), 1e-6)
    step = _EXTENT * width / _SIDE
    rotation = np.array([[axis[0], -axis[1]], [axis[1], axis[0]]]) / width * step
    corner = points[indices].mean(axis=0) - rotation @ np.full(2, _SIDE / 2)
    shrink = min(1.0, _LARGEST_STEP / step)
    if shrink < 1:  # bilinear sampling of the crop would alias
        image = np.asarray(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    matrix = np.column_stack([rotation, corner]) * shrink
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8), np.asarray((points - corner) @ np.linalg.inv(rotation).T, np.float64)


def _contrast(crop: NDArray[np.uint8], points: Points, ring: list[int]) -> float:
    """Mean magnitude of the brightness gradient across a closed contour."""
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    right, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    starts, ends = points[ring], np.roll(points[ring], -1, axis=0)
    tangents = ends - starts
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-6)
    x, y = np.clip(np.rint((starts + ends) / 2).astype(int), 0, _SIDE - 1).T
    return float(np.abs(down[y, x] * tangents[:, 0] - right[y, x] * tangents[:, 1]).mean())


def _redness(crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Median a* inside the mask; 0 for an empty mask."""
    return float(np.median(cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[..., 1][mask])) - 128 if mask.any() else 0.0


def _polygon(points: Points, ring: list[int]) -> NDArray[np.bool_]:
    """Mask of a closed contour, its line included: thin lips consist of nothing else."""
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint(points[ring]).astype(np.int32)], 1)
    return np.asarray(mask > 0, np.bool_)


def _patches(points: Points) -> NDArray[np.bool_]:
    """Mask of small squares around the landmarks of the brow."""
    mask = np.zeros((_SIDE, _SIDE), np.bool_)
    for x, y in np.rint(points[_BROW]).astype(int).tolist():
        mask[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = True
    return mask
