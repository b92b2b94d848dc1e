"""Sample rate conversion in large blocks with an exact total length."""

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
_LAYOUTS = {1: "mono", 2: "stereo"}


def samples_of(frame: av.AudioFrame) -> Samples:
    """The samples of a planar float frame, [channels, n]."""
    return frame.to_ndarray().astype(np.float32, copy=False)


class RateConverter:
    """Convert float32 blocks [channels, n] from one rate to another; the whole comes to round(n * target / source).

    libswresample's filter is aligned with its input, but a few samples may be over or lacking at the end: these are
    cut, or filled by holding the last value. Equal rates pass through untouched.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int) -> None:
        self._source = source_hz
        self._target = target_hz
        self._channels = channels
        self._taken = 0
        self._given = 0
        self._last = np.zeros((channels, 1), np.float32)
        # One second a frame: per-frame cost of the filter graph halves the speed otherwise.
        self._resampler = av.AudioResampler("fltp", _LAYOUTS[channels], target_hz, frame_size=target_hz)

    def push(self, block: Samples) -> Samples:
        """Converted samples that are ready, [channels, m]; m may be 0."""
        self._taken += block.shape[1]
        if self._source == self._target:
            return self._give(block)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", _LAYOUTS[self._channels])
        frame.sample_rate = self._source
        return self._give(self._joined(self._resampler.resample(frame)))

    def finish(self) -> Samples:
        """The rest, [channels, m]."""
        total = round(self._taken * self._target / self._source)
        rest = np.zeros((self._channels, 0), np.float32)
        if self._source != self._target and self._taken:
            rest = self._joined(self._resampler.resample(None))
        rest = self._give(rest[:, : total - self._given])
        lacking = np.repeat(self._last, total - self._given, axis=1)
        return np.concatenate([rest, self._give(lacking)], axis=1)

    def _give(self, block: Samples) -> Samples:
        self._given += block.shape[1]
        if block.shape[1]:
            self._last = block[:, -1:].copy()
        return block

    def _joined(self, frames: list[av.AudioFrame]) -> Samples:
        blocks = [samples_of(frame) for frame in frames]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((self._channels, 0), np.float32)
