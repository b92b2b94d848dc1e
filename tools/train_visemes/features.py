"""Converts recordings to training examples: up to ten seconds through Whisper's encoder, as the engine runs it."""

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
"""Samples per frame of features."""
_SHORTEST = 50


@dataclass(frozen=True)
class Example:
    """Features [T, width] float16 with class and opening of the mouth [T], 50 per second."""

    features: NDArray[np.float16]
    classes: NDArray[np.int8]
    opening: NDArray[np.float32]


class Encoder:
    """Whisper's encoder from the bytes of a visemes.onnx; its head is not used."""

    def __init__(self, model: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        """Encode [n] at 16 kHz, at least 1 s, to [n // 320, width]."""
        mel = log_mel(signal)
        return self.features(mel[:, : mel.shape[1] // 2 * 2])

    def features(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode Whisper's log-mel [80, T], T even, to [T / 2, width]."""
        (features,) = self._session.run(["features"], {"mel": np.ascontiguousarray(mel[None])})
        return np.asarray(features[0], np.float32)


def examples(recordings: Iterable[tuple[Signal, Labels]], encoder: Encoder) -> Iterator[Example]:
    """Concatenate recordings, in their order, to examples of up to ten seconds."""
    for signal, classes, opening in _grouped(recordings):
        features = encoder(signal)
        count = min(len(features), len(classes))
        if count >= _SHORTEST:
            yield Example(features[:count].astype(np.float16), classes[:count], opening[:count])


def _grouped(
    recordings: Iterable[tuple[Signal, Labels]],
) -> Iterator[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]]:
    group: list[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]] = []
    for signal, labels in recordings:
        count = min(len(labels.classes), len(signal) // _STEP, int(LONGEST_S * RATE) // _STEP)
        part = (signal[: count * _STEP], labels.classes[:count], labels.opening[:count])
        if group and sum(len(other[0]) for other in group) + len(part[0]) > LONGEST_S * RATE:
            yield _concatenate(group)
            group = []
        group.append(part)
    if group:
        yield _concatenate(group)


def _concatenate(
    parts: list[tuple[Signal, NDArray[np.int8], NDArray[np.float32]]],
) -> tuple[Signal, NDArray[np.int8], NDArray[np.float32]]:
    signals, classes, openings = zip(*parts, strict=True)
    return np.concatenate(signals), np.concatenate(classes), np.concatenate(openings)
