"""When a finished video is worse than it could be."""

import pytest

from shared.messages.codes import Code
from shared.messages.non_optimal import is_non_optimal

GOOD = {"drift_ms": 100, "gap_ms": 0, "quality": 0.5}


@pytest.mark.parametrize(
    ("warnings", "measured", "expected"),
    [
        ((), {}, False),
        ((), {"drift_ms": None, "gap_ms": None, "quality": None}, False),
        ((Code.MULTIPLE_FACES, Code.ROTATED_PORTRAIT), {}, False),
        ((Code.NON_OPTIMAL_STEPS,), {}, True),
        ((Code.SILENT_AUDIO,), {}, True),
        ((), {"drift_ms": 101}, True),
        ((), {"quality": 0.49}, True),
        ((Code.DURATION_CORRECTED,), {"gap_ms": 101}, True),
        ((Code.DURATION_CORRECTED,), {"gap_ms": -101}, True),
        ((Code.DURATION_CORRECTED,), {"gap_ms": 60}, False),
        ((), {"gap_ms": -2000}, False),
    ],
)
def test_definition(warnings: tuple[Code, ...], measured: dict[str, float | None], expected: bool) -> None:
    assert is_non_optimal(set(warnings), **{**GOOD, **measured}) is expected  # type: ignore[arg-type]
