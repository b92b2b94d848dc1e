"""Detects faces with one BlazeFace network in one view of a picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

MIN_SCORE = 0.5
MIN_OVERLAP = 0.3
"""Intersection over union from which two detections belong to the same face."""


@dataclass(frozen=True)
class DetectedFace:
    """A detected face, in pixels of the picture.

    box: [4] float64 (x0, y0, x1, y1), forehead to chin, may extend beyond the picture; keypoints: [6, 2], the subject's
    right eye, left eye, nose tip, mouth, right and left ear; score: 0..1.
    """

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    score: float

    @property
    def centre(self) -> NDArray[np.float64]:
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def size(self) -> NDArray[np.float64]:
        """Width and height."""
        return self.box[2:] - self.box[:2]

    @property
    def area(self) -> float:
        return float(np.prod(self.size))

    def shifted(self, offset: tuple[float, float]) -> "DetectedFace":
        """The same face in a picture that starts ``offset`` (x, y) pixels further left and up."""
        shift = np.asarray(offset, np.float64)
        return DetectedFace(self.box + np.tile(shift, 2), self.keypoints + shift, self.score)


class BlazeFace:
    """The network of ``face_short.onnx`` (128 pixels) or ``face_full.onnx`` (192 pixels)."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._side = int(session.get_inputs()[0].shape[1])

    def detect(self, image: NDArray[np.uint8]) -> list[DetectedFace]:
        """Detect the faces of ``image`` [H, W, 3] RGB, best score first; it is fitted into the network's square."""
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        fitted = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = ((self._side - n) // 2 for n in fitted)
        shrinks = scale < 1
        resized = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        square = np.zeros((1, self._side, self._side, 3), np.float32)
        square[0, top : top + fitted[1], left : left + fitted[0]] = resized
        # The padding is black, -1 in the network's range.
        boxes, scores = self._session.run(["boxes", "scores"], {"image": square / 127.5 - 1})
        keep = scores[0] > MIN_SCORE
        rows = boxes[0][keep].astype(np.float64) * self._side
        rows[:, [0, *range(2, 8)]] -= (left, top)
        rows /= np.divide(fitted, (width, height))
        corners = np.concatenate([rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2], axis=1)
        return blend_overlapping(corners, rows[:, 2:], scores[0][keep].astype(np.float64))


def blend_overlapping(
    boxes: NDArray[np.float64], keypoints: NDArray[np.float64], scores: NDArray[np.float64]
) -> list[DetectedFace]:
    """Weighted non-maximum suppression of "BlazeFace" (Bazarevsky et al., 2019).

    Detections that overlap the best one are averaged by score instead of dropped. boxes: [K, 4]; keypoints: [K, 6, 2];
    scores: [K]. Returns the best first.
    """
    faces = []
    remaining = np.argsort(-scores, kind="stable")
    while len(remaining):
        same = intersection_over_union(boxes[remaining[0]], boxes[remaining]) >= MIN_OVERLAP
        same[0] = True  # a degenerate box overlaps nothing, not even itself
        group = remaining[same]
        weights = scores[group] / scores[group].sum()
        box, points = np.tensordot(weights, boxes[group], 1), np.tensordot(weights, keypoints[group], 1)
        faces.append(DetectedFace(box, points, float(scores[remaining[0]])))
        remaining = remaining[~same]
    return faces


def intersection_over_union(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap [K] of ``box`` [4] with each of ``boxes`` [K, 4], 0..1."""
    common = _areas(np.concatenate([np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])], axis=1))
    return common / np.maximum(_areas(box[None]) + _areas(boxes) - common, 1e-9)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas
