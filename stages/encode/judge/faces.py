"""Where the face is in every frame: only to cut it out; what is measured on it comes from another network."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from shared.slot.weights import read_weights
from stages.encode.judge.crop import Picture, Square, cut
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.footage import Frame
from stages.encode.judge.smoothing import smooth

# The face stage's detectors, as data: its code stays its own.
_WEIGHTS = Path(__file__).parents[2] / "face" / "weights"
_MIN_SCORE = 0.5
LOOK_EVERY = 5
"""Frames between two looks; a head does not jump in a fifth of a second."""
_STEADY = 2.5
"""Standard deviation of the smoothing, in looks: a box that trembles would move the landmarks."""


@dataclass(frozen=True, slots=True)
class FacePath:
    """Squares around the face, one a frame, and the share of looks that found it, 0..1."""

    squares: tuple[Square, ...]
    found: float


class Faces:
    """BlazeFace, full range first, short range (close faces) where that finds none."""

    def __init__(self) -> None:
        self._networks = [session(_WEIGHTS, name) for name in ("face_full.onnx", "face_short.onnx")]

    def find(self, picture: Picture, near: Square | None = None, window: Square | None = None) -> Square | None:
        """The face nearest to ``near``, else the largest: forehead to chin, level with the eyes; None without one.

        ``window`` is where to look, else the whole picture: a face is found from about a twentieth of its side.
        """
        height, width = picture.shape[:2]
        seen = window or Square(width / 2, height / 2, max(height, width))
        for network in self._networks:
            found = _strongest(network, picture, near, seen)
            if found is not None:
                return found
        return None

    def follow(self, frames: Iterable[Frame]) -> FacePath:
        """Look at every fifth frame; a steady path in between. Raises Unjudgeable when no look finds a face."""
        seen: list[tuple[int, Square]] = []
        count = looks = 0
        for count, frame in enumerate(frames, 1):
            if (count - 1) % LOOK_EVERY == 0:
                looks += 1
                square = self.find(frame.picture, seen[-1][1] if seen else None)
                if square is not None:
                    seen.append((count - 1, square))
        if not seen:
            raise Unjudgeable("no face is found in the video")
        at = np.array([index for index, _ in seen])
        rows = np.array([(s.x, s.y, s.side, s.angle) for _, s in seen])
        rows[:, 3] = np.unwrap(rows[:, 3])
        looked = np.arange(looks) * LOOK_EVERY
        steady = [smooth(np.interp(looked, at, column), _STEADY) for column in rows.T]
        path = np.stack([np.interp(np.arange(count), looked, column) for column in steady], axis=1)
        return FacePath(tuple(Square(*row) for row in path.tolist()), len(seen) / looks)


def _strongest(network: ort.InferenceSession, picture: Picture, near: Square | None, seen: Square) -> Square | None:
    side = int(network.get_inputs()[0].shape[1])
    boxes, scores = network.run(["boxes", "scores"], {"image": cut(picture, seen, side)[None] / 127.5 - 1})
    keep = scores[0] > _MIN_SCORE
    if not keep.any():
        return None
    rows, weights = boxes[0][keep].astype(np.float64), scores[0][keep].astype(np.float64)
    centres, sizes = seen.points(rows[:, 0]), rows[:, 1].max(axis=1) * seen.side
    if near is None:
        best = int((weights * sizes).argmax())
    else:
        best = int((weights - np.hypot(*(centres - (near.x, near.y)).T) / near.side).argmax())
    # Neighbouring anchors that see the same face: their mean is steadier than any of them.
    same = np.hypot(*(centres - centres[best]).T) < 0.3 * sizes[best]
    x, y = np.average(centres[same], axis=0, weights=weights[same])
    eyes = np.average(rows[same, 3] - rows[same, 2], axis=0, weights=weights[same])
    size = np.average(sizes[same], weights=weights[same])
    return Square(float(x), float(y), float(size), float(np.arctan2(eyes[1], eyes[0])))


def session(folder: Path, name: str) -> ort.InferenceSession:
    """A network of a weights folder, on one thread: other processes use the other cores, and sums keep one order.

    Raises shared.slot.weights.WeightsAltered, FileNotFoundError.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(read_weights(folder, name), options, providers=["CPUExecutionProvider"])
