"""Correlation and offset in time of the mouth against the reference."""

from dataclasses import dataclass

import numpy as np

from stages.encode.evaluation.lips import Readings
from stages.encode.evaluation.reference import RATE, Reference, Track

MAX_SHIFT_S = 0.4
STEP_S = 0.01
_SHIFTS: Track = np.linspace(-MAX_SHIFT_S, MAX_SHIFT_S, 2 * round(MAX_SHIFT_S / STEP_S) + 1)
MIN_CORRELATION = 0.4
"""Below this correlation the position of the maximum is chance: shuffled speech of ten seconds reaches 0.31."""
_FRAME_S = 0.04
"""A reading covers the display time of a frame."""
_WINDOW_S, _HOP_S = 10.0, 5.0
_MIN_STD = 1e-6


@dataclass(frozen=True, slots=True)
class SyncMetrics:
    """Correlations -1..1; None where there is nothing to correlate: no speech, or a still mouth."""

    r: float | None
    """The best over shifts of up to 0.4 s."""
    r_unshifted: float | None
    """Without a shift."""
    r_control: float | None
    """Against the reference rotated by a third of its length: the level that the same speech reaches by chance."""
    offset_ms: float | None
    """The best shift; positive: the video is late. None when the best correlation is chance."""
    drift_ms_per_10s: float | None
    """Growth of the offset over windows of ten seconds; None with fewer than two windows that have an offset."""


NO_SYNC = SyncMetrics(None, None, None, None, None)


def measure(readings: Readings, reference: Reference) -> SyncMetrics:
    """Compare the opening of the lips with the expected one."""
    expected = _Expected(reference.opening)
    r, offset = _best(readings.times, readings.opening, expected)
    if r is None:
        return NO_SYNC
    rotated = (readings.times + reference.duration / 3) % reference.duration
    return SyncMetrics(
        r=r,
        r_unshifted=correlation(readings.opening, expected.mean_at(readings.times)),
        r_control=correlation(readings.opening, expected.mean_at(rotated)),
        offset_ms=offset,
        drift_ms_per_10s=_drift(readings, expected),
    )


def best_shift(
    readings: Readings, reference: Reference, min_correlation: float = MIN_CORRELATION
) -> tuple[float | None, float | None]:
    """Correlation and offset (ms, positive: video late) at the best shift; no offset below ``min_correlation``."""
    return _best(readings.times, readings.opening, _Expected(reference.opening), min_correlation)


def expected_at(reference: Reference, times: Track) -> Track:
    """The expected opening in frames at ``times`` [n], seconds."""
    return _Expected(reference.opening).mean_at(times)


class _Expected:
    """The reference averaged over the display time of frames."""

    def __init__(self, opening: Track) -> None:
        self.duration = len(opening) / RATE
        self._edges = np.arange(len(opening) + 1) / RATE
        self._sum = np.concatenate([[0.0], np.cumsum(opening)]) / RATE

    def mean_at(self, times: Track) -> Track:
        """Mean over the 40 ms around each time."""
        end, start = (np.interp(times + half, self._edges, self._sum) for half in (_FRAME_S / 2, -_FRAME_S / 2))
        return np.asarray((end - start) / _FRAME_S, np.float64)


def correlation(a: Track, b: Track) -> float | None:
    """Correlation of two tracks [n]; None where one of them is constant."""
    if len(a) < 2 or min(a.std(), b.std()) < _MIN_STD:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def curve(readings: Readings, reference: Reference) -> tuple[Track, Track]:
    """Shifts in seconds and the correlation at each, -1 where it is undefined."""
    return _SHIFTS, _curve(readings.times, readings.opening, _Expected(reference.opening))


def _curve(times: Track, opening: Track, expected: _Expected) -> Track:
    def shifted(shift: float) -> float:
        inside = (times >= shift) & (times <= shift + expected.duration)  # frames beyond the speech have no reference
        r = correlation(opening[inside], expected.mean_at(times[inside] - shift))
        return -1.0 if r is None else r

    return np.array([shifted(shift) for shift in _SHIFTS.tolist()])


def _best(
    times: Track, opening: Track, expected: _Expected, min_correlation: float = MIN_CORRELATION
) -> tuple[float | None, float | None]:
    """The best correlation and its offset in milliseconds, refined by a parabola."""
    curve = _curve(times, opening, expected)
    best = int(curve.argmax())
    if curve[best] <= -1.0:
        return None, None
    if curve[best] < min_correlation:
        return float(curve[best]), None
    offset = float(_SHIFTS[best])
    if 0 < best < len(curve) - 1:
        before, peak, after = curve[best - 1 : best + 2]
        curvature = before - 2 * peak + after
        offset += STEP_S * 0.5 * float((before - after) / curvature) if curvature < 0 else 0.0
    return float(curve[best]), offset * 1000


def _drift(readings: Readings, expected: _Expected) -> float | None:
    middles, offsets = [], []
    start, end = float(readings.times[0]), float(readings.times[-1])
    while start + _WINDOW_S <= end + _FRAME_S:
        window = (readings.times >= start) & (readings.times < start + _WINDOW_S)
        _, offset = _best(readings.times[window], readings.opening[window], expected)
        if offset is not None:
            middles.append(start + _WINDOW_S / 2)
            offsets.append(offset)
        start += _HOP_S
    return float(np.polyfit(middles, offsets, 1)[0]) * 10 if len(offsets) > 1 else None
