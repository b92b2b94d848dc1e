"""Converts sample rates in large blocks with an exact total length."""

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
_LAYOUTS = {1: "mono", 2: "stereo"}


def samples_of(frame: av.AudioFrame) -> Samples:
    """The samples of a planar float frame, [channels, n]."""
    return frame.to_ndarray().astype(np.float32, copy=False)


class RateConverter:
    """Converts float32 blocks [channels, n] from one rate to another; the total length is round(n * target / source).

    libswresample's filter is aligned with its input, but a few samples may be extra or missing at the end: they are
    cut, or filled with the last value. Equal rates pass unchanged.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int) -> None:
        self._source = source_hz
        self._target = target_hz
        self._channels = channels
        self._consumed = 0
        self._produced = 0
        self._last = np.zeros((channels, 1), np.float32)
        # One second per frame: shorter frames halve the speed by the filter graph's cost per frame.
        self._resampler = av.AudioResampler("fltp", _LAYOUTS[channels], target_hz, frame_size=target_hz)

    def push(self, block: Samples) -> Samples:
        """Convert a block; returns the samples that are ready, [channels, m], m may be 0."""
        self._consumed += block.shape[1]
        if self._source == self._target:
            return self._count(block)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", _LAYOUTS[self._channels])
        frame.sample_rate = self._source
        return self._count(self._joined(self._resampler.resample(frame)))

    def finish(self) -> Samples:
        """End the input; returns the remaining samples, [channels, m]."""
        total = round(self._consumed * self._target / self._source)
        rest = np.zeros((self._channels, 0), np.float32)
        if self._source != self._target and self._consumed:
            rest = self._joined(self._resampler.resample(None))
        rest = self._count(rest[:, : total - self._produced])
        missing = np.repeat(self._last, total - self._produced, axis=1)
        return np.concatenate([rest, self._count(missing)], axis=1)

    def _count(self, block: Samples) -> Samples:
        self._produced += block.shape[1]
        if block.shape[1]:
            self._last = block[:, -1:].copy()
        return block

    def _joined(self, frames: list[av.AudioFrame]) -> Samples:
        blocks = [samples_of(frame) for frame in frames]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((self._channels, 0), np.float32)
