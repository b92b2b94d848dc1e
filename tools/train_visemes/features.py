"""Recordings to training examples: stretches of up to ten seconds through Whisper's encoder, as the engine runs it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stages.audio.melspec import HOP, log_mel
from tools.train_visemes.signal import RATE, Signal
from tools.train_visemes.sounds import Labels

LONGEST_S = 10.0
_STEP = 2 * HOP
"""Samples of one frame of features."""
_SHORTEST = 50


@dataclass(frozen=True)
class Example:
    """One stretch: ``features`` [T, width] float16 and what the mouth does meanwhile, all 50 times a second."""

    features: NDArray[np.float16]
    classes: NDArray[np.int8]
    opening: NDArray[np.float32]


class Encoder:
    """Whisper's encoder in the bytes of a visemes.onnx, whose head is not used."""

    def __init__(self, model: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        """[n] at 16 kHz, at least 1 s, to [n // 320, width]."""
        mel = log_mel(signal)
        return self.features(mel[:, : mel.shape[1] // 2 * 2])

    def features(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whisper's log-mel [80, T], T even, to [T / 2, width]."""
        (features,) = self._session.run(["features"], {"mel": np.ascontiguousarray(mel[None])})
        return np.asarray(features[0], np.float32)


def examples(spoken: Iterable[tuple[Signal, Labels]], encoder: Encoder) -> Iterator[Example]:
    """Join recordings, in their order, to stretches of up to ten seconds."""
    for signal, classes, opening in _joined(spoken):
        features = encoder(signal)
        count = min(len(features), len(classes))
        if count >= _SHORTEST:
            yield Example(features[:count].astype(np.float16), classes[:count], opening[:count])


def _joined(
    spoken: Iterable[tuple[Signal, Labels]],
) -> Iterator[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]]:
    kept: list[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]] = []
    for signal, found in spoken:
        count = min(len(found.classes), len(signal) // _STEP, int(LONGEST_S * RATE) // _STEP)
        part = (signal[: count * _STEP], found.classes[:count], found.opening[:count])
        if kept and sum(len(other[0]) for other in kept) + len(part[0]) > LONGEST_S * RATE:
            yield _concatenated(kept)
            kept = []
        kept.append(part)
    if kept:
        yield _concatenated(kept)


def _concatenated(
    parts: list[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]],
) -> tuple[Signal, NDArray[np.int8], NDArray[np.float32]]:
    signals, classes, openings = zip(*parts, strict=True)
    return np.concatenate(signals), np.concatenate(classes), np.concatenate(openings)
