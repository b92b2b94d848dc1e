"""The two sample streams made of a speech: 16 kHz mono for analysis, 48 kHz mono or stereo for the video."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.audio.channels import downmix_matrix, mix_to_mono
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
        """The first ``duration_s`` seconds, at most the whole; the sound file is truncated in place."""
        duration_s = min(duration_s, self.duration_s)
        size = round(duration_s * SOUND_HZ) * self.sound_channels * 4
        with self.sound.open("r+b") as file:
            file.truncate(min(size, self.sound.stat().st_size))
        pcm = self.pcm[: round(duration_s * ANALYSIS_HZ)]
        return replace(self, duration_s=duration_s, pcm=pcm)


class SampleStreams:
    """Converts blocks of the source to both sample streams in one pass."""

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
        """Convert finite source samples [channels, n]; returns bytes of the 48 kHz stream."""
        self.samples += block.shape[1]
        mixed = np.clip(self._matrix @ block, -1, 1)
        self._analysis.append(self._to_analysis.push(mixed))
        return _interleaved(self._to_sound.push(mixed))

    def finish(self) -> bytes:
        """End the source; returns the last bytes of the 48 kHz stream."""
        self._analysis.append(self._to_analysis.finish())
        return _interleaved(self._to_sound.finish())

    def pcm(self) -> Samples:
        """The whole analysis signal, [n]."""
        whole: Samples = np.clip(mix_to_mono(np.concatenate(self._analysis, axis=1)), -1, 1)
        return whole


def _interleaved(block: Samples) -> bytes:
    # The filter overshoots at a clipped source; the AAC encoder takes at most full scale.
    out: bytes = np.clip(block, -1, 1).T.astype("<f4").tobytes()
    return out
