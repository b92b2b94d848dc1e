"""Locates the face in every frame. The location is used for cropping only; another network measures the mouth."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from shared.slot.weights import FACE_DETECTORS, read_weights
from stages.encode.evaluation.crop import Picture, Square, crop_square
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.media import Frame
from stages.encode.evaluation.smoothing import smooth

_MIN_SCORE = 0.5
DETECT_EVERY = 5
"""Frames between two detections; a head moves little in a fifth of a second."""
_SMOOTHING = 2.5
"""Standard deviation of the smoothing, in detections: a jittering box would move the landmarks."""


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """Squares around the face, one per frame, and the share of detections that found it, 0..1."""

    squares: tuple[Square, ...]
    detection_rate: float


class FaceDetector:
    """BlazeFace: the full-range network, then the short-range one (close faces) where that finds none."""

    def __init__(self) -> None:
        self._networks = [session(FACE_DETECTORS, name) for name in ("face_full.onnx", "face_short.onnx")]

    def detect(self, picture: Picture, near: Square | None = None, window: Square | None = None) -> Square | None:
        """Detect the face nearest to ``near``, else the largest; None without a face.

        The square covers forehead to chin and is aligned with the eyes. ``window`` is the searched part of the picture,
        by default all of it; the detector finds faces from about a twentieth of its side.
        """
        height, width = picture.shape[:2]
        searched = window or Square(width / 2, height / 2, max(height, width))
        for network in self._networks:
            face = _strongest(network, picture, near, searched)
            if face is not None:
                return face
        return None

    def track(self, frames: Iterable[Frame]) -> FaceTrack:
        """Detect the face in every fifth frame and interpolate a smooth path.

        Raises EvaluationError when no detection finds a face.
        """
        detections: list[tuple[int, Square]] = []
        count = attempts = 0
        for count, frame in enumerate(frames, 1):
            if (count - 1) % DETECT_EVERY == 0:
                attempts += 1
                square = self.detect(frame.picture, detections[-1][1] if detections else None)
                if square is not None:
                    detections.append((count - 1, square))
        if not detections:
            raise EvaluationError("no face is found in the video")
        indices = np.array([index for index, _ in detections])
        rows = np.array([(s.x, s.y, s.side, s.angle) for _, s in detections])
        rows[:, 3] = np.unwrap(rows[:, 3])
        sampled = np.arange(attempts) * DETECT_EVERY
        smoothed = [smooth(np.interp(sampled, indices, column), _SMOOTHING) for column in rows.T]
        path = np.stack([np.interp(np.arange(count), sampled, column) for column in smoothed], axis=1)
        return FaceTrack(tuple(Square(*row) for row in path.tolist()), len(detections) / attempts)


def _strongest(network: ort.InferenceSession, picture: Picture, near: Square | None, searched: Square) -> Square | None:
    side = int(network.get_inputs()[0].shape[1])
    boxes, scores = network.run(["boxes", "scores"], {"image": crop_square(picture, searched, side)[None] / 127.5 - 1})
    keep = scores[0] > _MIN_SCORE
    if not keep.any():
        return None
    rows, weights = boxes[0][keep].astype(np.float64), scores[0][keep].astype(np.float64)
    centres, sizes = searched.points(rows[:, 0]), rows[:, 1].max(axis=1) * searched.side
    if near is None:
        best = int((weights * sizes).argmax())
    else:
        best = int((weights - np.hypot(*(centres - (near.x, near.y)).T) / near.side).argmax())
    # Neighbouring anchors respond to the same face: their mean is steadier than any of them.
    same = np.hypot(*(centres - centres[best]).T) < 0.3 * sizes[best]
    x, y = np.average(centres[same], axis=0, weights=weights[same])
    eyes = np.average(rows[same, 3] - rows[same, 2], axis=0, weights=weights[same])
    size = np.average(sizes[same], weights=weights[same])
    return Square(float(x), float(y), float(size), float(np.arctan2(eyes[1], eyes[0])))


def session(folder: Path, name: str) -> ort.InferenceSession:
    """Load a network of a weights folder, on one thread: other processes use the other cores, and sums keep one order.

    Raises shared.slot.weights.WeightsAltered, FileNotFoundError.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(read_weights(folder, name), options, providers=["CPUExecutionProvider"])
