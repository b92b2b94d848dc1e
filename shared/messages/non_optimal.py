"""When a finished video is worse than it could be: ``render.non_optimal`` of the `render` span."""

from collections.abc import Collection

from shared.messages.codes import Code

WARNINGS = frozenset(
    {
        Code.NON_OPTIMAL_STEPS,
        Code.LOW_CONFIDENCE_FACE,
        Code.EXTREME_POSE,
        Code.STRONG_POSE,
        Code.OCCLUDED_MOUTH,
        Code.LOW_RESOLUTION,
        Code.SILENT_AUDIO,
        Code.NO_SPEECH,
        Code.NOISY_AUDIO,
    }
)
"""Warnings about what the user can improve. Not MULTIPLE_FACES and ROTATED_PORTRAIT: the video is as good without."""
MAX_DRIFT_MS = 100
"""Larger drifts of sound and picture are seen, milliseconds."""
MAX_GAP_MS = 100
"""A larger correction of the requested duration is not a rounding of the recorder's, milliseconds."""
MIN_QUALITY = 0.5
"""Below, the mouth moves late, early, or to something else: see docs/eval.md."""


def is_non_optimal(
    warnings: Collection[Code], *, drift_ms: int | None, gap_ms: int | None, quality: float | None
) -> bool:
    """Whether the video is worse than it could be. ``drift_ms`` is ``audio.drift_ms``, ``gap_ms`` the asked minus the
    true duration; None stands for what was not measured."""
    return (
        not WARNINGS.isdisjoint(warnings)
        or (drift_ms is not None and drift_ms > MAX_DRIFT_MS)
        or (Code.DURATION_CORRECTED in warnings and gap_ms is not None and abs(gap_ms) > MAX_GAP_MS)
        or (quality is not None and quality < MIN_QUALITY)
    )
