"""Scores a head on speech outside its training, by the metrics of stages.encode.evaluation, without drawing a face.

The opening that the engine commands replaces the one measured on a video: renderer and measurement lower the
correlation by some hundredths.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.messages.engines import FPS
from stages.audio.loudness import rms_dbfs
from stages.audio.melspec import log_mel
from stages.encode.evaluation import mouth, phones, sync
from stages.encode.evaluation.lips import Readings
from stages.encode.evaluation.phones import Phone
from stages.infer.engine import frame_count
from stages.infer.puppet.articulation import Track, mouth_track
from stages.infer.puppet.renderer import MouthPose
from stages.infer.puppet.visemes import VisemeModel
from tools.train_visemes.features import Encoder
from tools.train_visemes.network import Parameters, predict
from tools.train_visemes.signal import RATE, Signal
from tools.train_visemes.sounds import Sound, spans

# ARPAbet name of each IPA symbol, or of the nearest English sound.
_ARPABET = {
    symbol: name
    for name, symbols in {
        "AA": "aɑɶ", "AE": "æ", "AH": "ʌɐœɞɜeɘoəɤ", "EH": "ɛ", "AO": "ɔɒ", "UH": "øɵʊʏᵿ", "IH": "ɪᵻ", "ER": "ɚɝ",
        "IY": "iɨɯ", "UW": "uyʉ", "P": "p", "B": "bɓʙ", "M": "mɱ", "F": "fɸ", "V": "vʋⱱβ", "W": "wɥʍ", "SH": "ʃɕʂɧ",
        "ZH": "ʒʑʐ", "S": "s", "Z": "z", "TH": "θ", "DH": "ð", "R": "ɹɻʁʀɺ", "T": "tʈ", "D": "dɾɗɖrɽ", "N": "nɳ",
        "L": "lɭɫɬɮ", "K": "kxqχcç", "G": "gɡɣɢɠɟʎʝʛ", "NG": "ŋɴɲ", "HH": "hħʕɦʔ", "Y": "j",
    }.items()
    for symbol in symbols
}  # fmt: skip


class TrainedModel(VisemeModel):
    """The engine's model with another head."""

    def __init__(self, encoder: Encoder, head: Parameters) -> None:
        self._encoder, self._head = encoder, head

    def _window(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        even = np.pad(mel, ((0, 0), (0, mel.shape[1] % 2)), mode="edge")
        shapes, opening = predict(self._head, self._encoder.features(even))
        return np.concatenate([shapes, opening[:, None]], axis=1)


@dataclass(frozen=True)
class Score:
    """Metrics as in docs/eval.md; None where there is nothing to measure."""

    name: str
    sync_r: float | None
    offset_ms: float | None
    closure_rate: float | None
    closure_lift: float | None
    silence_closed: float | None

    def __str__(self) -> str:
        metrics = (self.sync_r, self.offset_ms, self.closure_rate, self.closure_lift, self.silence_closed)
        formats = (".3f", "+.0f", ".2f", ".2f", ".2f")
        cells = ("-" if metric is None else format(metric, f) for metric, f in zip(metrics, formats, strict=True))
        return f"{self.name:<28}" + "".join(f"{cell:>9}" for cell in cells)


HEADER = f"{'speech':<28}" + "".join(f"{name:>9}" for name in ("sync_r", "offset", "closure", "lift", "pauses"))


def arpabet_phones(sounds: Iterable[Sound]) -> list[Phone]:
    """The sounds of a synthesiser as ARPAbet phones."""
    return [Phone(_ARPABET[symbol], start, end) for sound in sounds for symbol, start, end in spans(sound)]


def score(name: str, signal: Signal, sounds: Sequence[Phone], model: VisemeModel) -> Score:
    """Score one recording with known phones."""
    duration = len(signal) / RATE
    commanded = openings(signal, model)
    # Noise, because a mouth that is exactly still in pauses makes quantiles meaningless.
    opening = commanded + np.random.default_rng(0).normal(0, 1e-4, len(commanded))
    readings = Readings((np.arange(len(opening)) + 0.5) / FPS, np.zeros((len(opening), 68, 2)), opening)
    reference = phones.expected(sounds, duration)
    timing, lips = sync.measure(readings, reference), mouth.measure(readings, reference)
    return Score(name, timing.r, timing.offset_ms, lips.closure_rate, lips.closure_lift, lips.silence_closed)


def openings(signal: Signal, model: VisemeModel) -> Track:
    """The openings that the engine commands, 25 per second."""
    track = mouth_track(model(log_mel(signal)), rms_dbfs(signal), frame_count(len(signal) / RATE), 1.0)
    return np.array([MouthPose(*row.tolist()).aperture() for row in track], np.float32)
