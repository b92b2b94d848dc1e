"""Asked duration against true duration.

Recorders, browsers and people state lengths that are not those of the samples; a video made to a wrong length drifts.
The decoded samples decide. Shorter on purpose is a wish of its own and needs ``trim``.
"""

from dataclasses import dataclass

FRAME_S = 0.04
"""One video frame at 25 fps: smaller differences can't be seen or heard."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The length that the render will have."""

    duration_s: float
    gap_ms: int
    """Asked minus true, milliseconds; 0 when nothing was asked."""
    corrected: bool
    """The user asked for a length that he does not get."""


def settle(true_s: float, asked_s: float | None, *, trim: bool) -> Settled:
    """Decide the length from the decoded one, the asked one and whether shorter is on purpose."""
    if asked_s is None:
        return Settled(true_s, 0, corrected=False)
    gap_ms = round((asked_s - true_s) * 1000)
    if trim and asked_s < true_s:
        return Settled(asked_s, gap_ms, corrected=False)
    return Settled(true_s, gap_ms, corrected=abs(asked_s - true_s) > FRAME_S)
