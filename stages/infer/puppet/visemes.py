"""Predicts mouth shapes from speech: Whisper's tiny.en encoder with a viseme head, in ONNX."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from shared.slot.weights import read_weights

WEIGHTS = Path(__file__).with_name("weights")
RATE = 50
"""Viseme frames per second; frame k covers [k, k + 1) / RATE seconds."""
CLASSES = ("sil", "PBM", "FV", "TH", "TDNL", "SZ", "SH", "KGH", "R", "W", "O", "A", "E", "I", "AH")
SILENCE = CLASSES.index("sil")

_WINDOW = 1000
_OVERLAP = 100
"""Log-mel columns, 100 per second: windows of 10 s with 1 s of cross-fade."""

Probabilities = npt.NDArray[np.float32]
"""[T, len(CLASSES)]; rows sum to 1."""


@dataclass(frozen=True)
class Visemes:
    """The network's output for a recording, RATE values per second."""

    shapes: Probabilities
    opening: npt.NDArray[np.float32]
    """[T] 0 closed .. 1 the widest vowel, co-articulated; a frame's value belongs to its middle."""


class VisemeModel:
    """The loaded network. Raises shared.slot.weights.WeightsAltered when the weights are not the committed ones."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        # One thread: replicas and stages use the other cores, and sums keep their order.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        weights = read_weights(WEIGHTS, "visemes.onnx")
        self._session = ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])

    def __call__(self, mel: npt.NDArray[np.float32]) -> Visemes:
        """Predict from Whisper's log-mel [80, T], 100 per second, T >= 1, to ceil(T / 2) frames, 50 per second."""
        columns = mel.shape[1]
        out = np.zeros(((columns + 1) // 2, len(CLASSES) + 1), np.float32)
        start = 0
        while True:
            window = mel[:, start : start + _WINDOW]
            part = self._window(window)
            place = slice(start // 2, start // 2 + len(part))
            fade = np.ones((len(part), 1), np.float32)
            if start > 0:
                ramp = np.arange(1, _OVERLAP // 2 + 1, dtype=np.float32)[:, None] / (_OVERLAP // 2 + 1)
                fade[: len(ramp)] = ramp[: len(fade)]
            out[place] = out[place] * (1 - fade) + part * fade
            if start + _WINDOW >= columns:
                return Visemes(out[:, :-1], out[:, -1])
            start += _WINDOW - _OVERLAP

    def _window(self, mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[T, len(CLASSES) + 1]: shapes, then the opening."""
        if mel.shape[1] % 2:  # the network halves the rate
            mel = np.concatenate([mel, mel[:, -1:]], axis=1)
        outputs = self._session.run(["visemes", "opening"], {"mel": np.ascontiguousarray(mel[None])})
        return np.concatenate([np.asarray(output, np.float32)[0] for output in outputs], axis=1)
