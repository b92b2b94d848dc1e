"""How good a head is on speech that it was not trained on, by the judge's own figures, without drawing a face.

The opening that the engine would command takes the place of what the judge reads off a film: the renderer and the
reading cost some hundredths of the correlation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.audio.loudness import rms_dbfs
from stages.audio.melspec import log_mel
from stages.encode.evaluation import mouth, phones, sync
from stages.encode.evaluation.lips import Readings
from stages.encode.evaluation.phones import Phone
from stages.infer.engine import FPS, frame_count
from stages.infer.puppet.articulation import Track, mouth_track
from stages.infer.puppet.renderer import MouthPose
from stages.infer.puppet.visemes import VisemeModel
from tools.train_visemes.features import Encoder
from tools.train_visemes.network import Parameters, predict
from tools.train_visemes.signal import RATE, Signal
from tools.train_visemes.sounds import Sound, spans

# The judge's names for the symbols of the IPA that are nearest to them.
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
    """The engine's model with a head that is not yet part of it."""

    def __init__(self, encoder: Encoder, head: Parameters) -> None:
        self._encoder, self._head = encoder, head

    def _window(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        even = np.pad(mel, ((0, 0), (0, mel.shape[1] % 2)), mode="edge")
        shapes, opening = predict(self._head, self._encoder.features(even))
        return np.concatenate([shapes, opening[:, None]], axis=1)


@dataclass(frozen=True)
class Score:
    """Figures as in docs/eval.md; None where there is nothing to measure."""

    name: str
    sync_r: float | None
    offset_ms: float | None
    closure_rate: float | None
    closure_lift: float | None
    silence_closed: float | None

    def __str__(self) -> str:
        figures = (self.sync_r, self.offset_ms, self.closure_rate, self.closure_lift, self.silence_closed)
        formats = (".3f", "+.0f", ".2f", ".2f", ".2f")
        cells = ("-" if figure is None else format(figure, f) for figure, f in zip(figures, formats, strict=True))
        return f"{self.name:<28}" + "".join(f"{cell:>9}" for cell in cells)


HEADER = f"{'speech':<28}" + "".join(f"{name:>9}" for name in ("sync_r", "offset", "closure", "lift", "pauses"))


def arpabet_phones(sounds: Iterable[Sound]) -> list[Phone]:
    """A synthesiser's sounds by the names that the judge knows."""
    return [Phone(_ARPABET[symbol], start, end) for sound in sounds for symbol, start, end in spans(sound)]


def score(name: str, signal: Signal, spoken: Sequence[Phone], model: VisemeModel) -> Score:
    """Of one recording whose sounds are known."""
    duration = len(signal) / RATE
    commanded = openings(signal, model)
    # A mouth that stands perfectly still in a pause would make quantiles meaningless.
    read = commanded + np.random.default_rng(0).normal(0, 1e-4, len(commanded))
    readings = Readings((np.arange(len(read)) + 0.5) / FPS, np.zeros((len(read), 68, 2)), read)
    reference = phones.expected(spoken, duration)
    found, lips = sync.measure(readings, reference), mouth.measure(readings, reference)
    return Score(name, found.r, found.offset_ms, lips.closure_rate, lips.closure_lift, lips.silence_closed)


def openings(signal: Signal, model: VisemeModel) -> Track:
    """What the engine would command, 25 times a second."""
    track = mouth_track(model(log_mel(signal)), rms_dbfs(signal), frame_count(len(signal) / RATE), 1.0)
    return np.array([MouthPose(*row.tolist()).aperture() for row in track], np.float32)
