"""Mouth against reference: how well they go together, and how far apart in time."""

from dataclasses import dataclass

import numpy as np

from stages.encode.judge.lips import Readings
from stages.encode.judge.reference import RATE, Reference, Track

FARTHEST_S = 0.4
STEP_S = 0.01
_SHIFTS: Track = np.linspace(-FARTHEST_S, FARTHEST_S, 2 * round(FARTHEST_S / STEP_S) + 1)
LOCKED = 0.4
"""Below this correlation the place of its maximum means nothing: shuffled speech of ten seconds reaches 0.31."""
_SHOWN_S = 0.04
"""A reading stands for the time that a frame is shown."""
_WINDOW_S, _HOP_S = 10.0, 5.0
_MIN_STD = 1e-6


@dataclass(frozen=True, slots=True)
class Sync:
    """Correlations -1..1; None where there is nothing to correlate: no speech, or a mouth that never moves."""

    r: float | None
    """The best over shifts of up to 0.4 s."""
    r_unshifted: float | None
    """As the file stands."""
    r_control: float | None
    """Against the reference turned by a third of its length: what speech of the same kind reaches by chance."""
    offset_ms: float | None
    """Of the best; positive: the video is late. None when the best is chance."""
    drift_ms_per_10s: float | None
    """Growth of the offset, over windows of ten seconds; None with less than two that lock."""


NOTHING = Sync(None, None, None, None, None)


def measure(readings: Readings, reference: Reference) -> Sync:
    """Compare the opening of the lips with the expected one."""
    expected = _Expected(reference.opening)
    r, offset = _best(readings.times, readings.opening, expected)
    if r is None:
        return NOTHING
    turned = (readings.times + reference.duration / 3) % reference.duration
    return Sync(
        r=r,
        r_unshifted=correlation(readings.opening, expected.at(readings.times)),
        r_control=correlation(readings.opening, expected.at(turned)),
        offset_ms=offset,
        drift_ms_per_10s=_drift(readings, expected),
    )


def best(readings: Readings, reference: Reference, locked: float = LOCKED) -> tuple[float | None, float | None]:
    """Correlation and offset (ms, positive: the video is late) at the best shift; no offset below ``locked``."""
    return _best(readings.times, readings.opening, _Expected(reference.opening), locked)


def shown(reference: Reference, times: Track) -> Track:
    """The expected opening as frames at ``times`` [n] would show it."""
    return _Expected(reference.opening).at(times)


class _Expected:
    """The reference as frames would show it."""

    def __init__(self, opening: Track) -> None:
        self.duration = len(opening) / RATE
        self._edges = np.arange(len(opening) + 1) / RATE
        self._sum = np.concatenate([[0.0], np.cumsum(opening)]) / RATE

    def at(self, times: Track) -> Track:
        """Mean over the 40 ms around each time."""
        late, early = (np.interp(times + half, self._edges, self._sum) for half in (_SHOWN_S / 2, -_SHOWN_S / 2))
        return np.asarray((late - early) / _SHOWN_S, np.float64)


def correlation(a: Track, b: Track) -> float | None:
    """Of two tracks [n]; None where one of them does not change."""
    if len(a) < 2 or min(a.std(), b.std()) < _MIN_STD:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def curve(readings: Readings, reference: Reference) -> tuple[Track, Track]:
    """Shifts in seconds and the correlation at each, -1 where there is none."""
    return _SHIFTS, _curve(readings.times, readings.opening, _Expected(reference.opening))


def _curve(times: Track, opening: Track, expected: _Expected) -> Track:
    def at(shift: float) -> float:
        there = (times >= shift) & (times <= shift + expected.duration)  # a frame beyond the speech has no answer
        r = correlation(opening[there], expected.at(times[there] - shift))
        return -1.0 if r is None else r

    return np.array([at(shift) for shift in _SHIFTS.tolist()])


def _best(
    times: Track, opening: Track, expected: _Expected, locked: float = LOCKED
) -> tuple[float | None, float | None]:
    """The best correlation and its offset in milliseconds, refined by a parabola."""
    curve = _curve(times, opening, expected)
    best = int(curve.argmax())
    if curve[best] <= -1.0:
        return None, None
    if curve[best] < locked:
        return float(curve[best]), None
    offset = float(_SHIFTS[best])
    if 0 < best < len(curve) - 1:
        before, here, after = curve[best - 1 : best + 2]
        bend = before - 2 * here + after
        offset += STEP_S * 0.5 * float((before - after) / bend) if bend < 0 else 0.0
    return float(curve[best]), offset * 1000


def _drift(readings: Readings, expected: _Expected) -> float | None:
    middles, offsets = [], []
    start, end = float(readings.times[0]), float(readings.times[-1])
    while start + _WINDOW_S <= end + _SHOWN_S:
        part = (readings.times >= start) & (readings.times < start + _WINDOW_S)
        _, offset = _best(readings.times[part], readings.opening[part], expected)
        if offset is not None:
            middles.append(start + _WINDOW_S / 2)
            offsets.append(offset)
        start += _HOP_S
    return float(np.polyfit(middles, offsets, 1)[0]) * 10 if len(offsets) > 1 else None
