"""The opening of the mouth in every frame, by 68 landmarks of a network that no engine uses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.crop import Square, crop_square
from stages.encode.evaluation.faces import session
from stages.encode.evaluation.media import Frame

WEIGHTS = Path(__file__).with_name("weights")
_SIDE = 112
_MARGINS = (0.85, 1.15)
"""Crops in sizes of the face. The errors of two crops differ: their mean correlates by 0.97 with the commanded opening,
one alone by 0.92 to 0.96."""
_BATCH = 16
# Numbering of iBUG 300-W.
_OUTER_EYES = (36, 45)
_INNER_LIPS = ((61, 67), (62, 66), (63, 65))


@dataclass(frozen=True, slots=True)
class Readings:
    """One row per frame: ``times`` [n] s, ``points`` [n, 68, 2] pixels, ``opening`` [n] in eye distances."""

    times: NDArray[np.float64]
    points: NDArray[np.float64]
    opening: NDArray[np.float64]

    @property
    def quantiles(self) -> tuple[float, float]:
        """The 5 % and 95 % quantiles of the opening."""
        low, high = np.quantile(self.opening, [0.05, 0.95])
        return float(low), float(high)

    @property
    def range(self) -> float:
        """Difference of the two quantiles."""
        low, high = self.quantiles
        return high - low

    def until(self, end: float) -> "Readings":
        """The readings before ``end`` seconds."""
        return self.where(self.times < end)

    def where(self, keep: NDArray[np.bool_]) -> "Readings":
        """The readings selected by the mask ``keep`` [n]."""
        return Readings(self.times[keep], self.points[keep], self.opening[keep])

    @classmethod
    def concatenate(cls, parts: Sequence["Readings"]) -> "Readings":
        """Join at least one part, in the given order."""
        return cls(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.opening for part in parts]),
        )


class LipReader:
    """The network over `landmarks_68.onnx`."""

    def __init__(self) -> None:
        self._network = session(WEIGHTS, "landmarks_68.onnx")

    def read(self, frames: Iterable[Frame], squares: Sequence[Square]) -> Readings:
        """Measure frames at the squares around their face, up to the shorter of both. Holds at most a batch of them."""
        times: list[float] = []
        points: list[NDArray[np.float64]] = []
        pairs = iter(zip(frames, squares, strict=False))
        while batch := list(islice(pairs, _BATCH)):
            times += [frame.time for frame, _ in batch]
            points.append(np.mean([self._points(batch, margin) for margin in _MARGINS], axis=0))
        landmarks = np.concatenate(points)
        return Readings(np.array(times), landmarks, opening(landmarks))

    def read_once(self, frames: Sequence[Frame], square: Square) -> Readings:
        """Measure every frame at the same square with one crop: half the work; offsets differ by some 10 ms."""
        landmarks = np.concatenate([self._points([(frame, square)], _MARGINS[0]) for frame in frames])
        return Readings(np.array([frame.time for frame in frames]), landmarks, opening(landmarks))

    def _points(self, batch: Sequence[tuple[Frame, Square]], margin: float) -> NDArray[np.float64]:
        crops = [crop_square(frame.picture, square.scaled(margin), _SIDE) for frame, square in batch]
        (unit,) = self._network.run(["landmarks"], {"image": np.stack(crops)})
        return np.stack([square.scaled(margin).points(u) for u, (_, square) in zip(unit, batch, strict=True)])


def opening(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean gap of three pairs of inner-lip points [n, 68, 2], in distances of the outer eye corners."""
    eyes = np.linalg.norm(points[:, _OUTER_EYES[0]] - points[:, _OUTER_EYES[1]], axis=1)
    gaps = [np.linalg.norm(points[:, upper] - points[:, lower], axis=1) for upper, lower in _INNER_LIPS]
    return np.asarray(np.mean(gaps, axis=0) / np.maximum(eyes, 1e-6), np.float64)
