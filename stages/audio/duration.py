"""The duration of a render: the requested one against the true one.

Recorders, browsers and people state durations that differ from the samples; a video made to a wrong duration drifts. So
the decoded samples decide. A shorter duration on purpose needs ``trim``.
"""

from dataclasses import dataclass

FRAME_S = 0.04
"""One video frame at 25 fps: smaller differences are neither visible nor audible."""


@dataclass(frozen=True, slots=True)
class Duration:
    """The duration of the render."""

    seconds: float
    gap_ms: int
    """Requested minus true, milliseconds; 0 when none was requested."""
    corrected: bool
    """It differs from the requested duration by more than a frame."""


def resolve_duration(true_s: float, requested_s: float | None, *, trim: bool) -> Duration:
    """Resolve the duration from the decoded one, the requested one, and whether a shorter one is on purpose."""
    if requested_s is None:
        return Duration(true_s, 0, corrected=False)
    gap_ms = round((requested_s - true_s) * 1000)
    if trim and requested_s < true_s:
        return Duration(requested_s, gap_ms, corrected=False)
    return Duration(true_s, gap_ms, corrected=abs(requested_s - true_s) > FRAME_S)


def correction(duration: Duration, requested_s: float, true_s: float) -> str:
    """The text of the warning for a corrected duration."""
    return (
        f"The requested duration is {requested_s:.3f} s, but the speech is {true_s:.3f} s long; "
        f"the video is {duration.seconds:.3f} s long."
    )
