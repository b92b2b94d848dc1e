"""The two sample streams a speech becomes: 16 kHz mono to analyse, 48 kHz mono or stereo to hear."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.audio.channels import downmix_matrix, one_voice
from stages.audio.resample import RateConverter, Samples

ANALYSIS_HZ = 16_000
SOUND_HZ = 48_000


@dataclass(frozen=True, slots=True)
class Speech:
    """A decoded recording."""

    codec: str
    sample_rate: int
    """Of the source, Hz."""
    channels: int
    """Of the source."""
    duration_s: float
    pcm: Samples
    """float32 [n] mono at 16 kHz, -1..1."""
    sound: Path
    """Raw little-endian float32 at 48 kHz, channels interleaved, -1..1."""
    sound_channels: int

    def cut(self, duration_s: float) -> "Speech":
        """The first ``duration_s`` seconds; the sound file is cut in place. Longer than the whole: the whole."""
        duration_s = min(duration_s, self.duration_s)
        size = round(duration_s * SOUND_HZ) * self.sound_channels * 4
        with self.sound.open("r+b") as file:
            file.truncate(min(size, self.sound.stat().st_size))
        pcm = self.pcm[: round(duration_s * ANALYSIS_HZ)]
        return replace(self, duration_s=duration_s, pcm=pcm)


class Products:
    """Both sample streams of one pass, from blocks of the source."""

    def __init__(self, rate: int, layout: tuple[str, ...]) -> None:
        self.rate = rate
        self.layout = layout
        self.samples = 0
        self._matrix = downmix_matrix(layout)
        self.channels = len(self._matrix)
        self._to_sound = RateConverter(rate, SOUND_HZ, self.channels)
        self._to_analysis = RateConverter(rate, ANALYSIS_HZ, self.channels)
        self._analysis: list[Samples] = []

    def push(self, block: Samples) -> bytes:
        """Take finite source samples [channels, n]; returns sound bytes."""
        self.samples += block.shape[1]
        mixed = np.clip(self._matrix @ block, -1, 1)
        self._analysis.append(self._to_analysis.push(mixed))
        return _interleaved(self._to_sound.push(mixed))

    def finish(self) -> bytes:
        """The last sound bytes."""
        self._analysis.append(self._to_analysis.finish())
        return _interleaved(self._to_sound.finish())

    def pcm(self) -> Samples:
        """The whole analysis signal, [n]."""
        whole: Samples = np.clip(one_voice(np.concatenate(self._analysis, axis=1)), -1, 1)
        return whole


def _interleaved(block: Samples) -> bytes:
    # The filter overshoots at a clipped source; the muxer's encoder wants no more than full scale.
    out: bytes = np.clip(block, -1, 1).T.astype("<f4").tobytes()
    return out
