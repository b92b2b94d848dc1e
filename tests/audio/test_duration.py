"""Requested against true duration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.audio.duration import Duration, resolve_duration

LENGTHS = st.floats(0.2, 3600)


@pytest.mark.parametrize(
    ("true_s", "requested_s", "trim", "expected"),
    [
        (10.0, None, False, Duration(10.0, 0, corrected=False)),
        (10.0, None, True, Duration(10.0, 0, corrected=False)),
        (10.0, 10.03, False, Duration(10.0, 30, corrected=False)),
        (10.0, 9.97, False, Duration(10.0, -30, corrected=False)),
        (10.0, 10.05, False, Duration(10.0, 50, corrected=True)),
        (10.0, 9.0, False, Duration(10.0, -1000, corrected=True)),
        (10.0, 9.0, True, Duration(9.0, -1000, corrected=False)),
        (10.0, 9.98, True, Duration(9.98, -20, corrected=False)),
        (10.0, 12.0, True, Duration(10.0, 2000, corrected=True)),
    ],
)
def test_duration_is_true_unless_trimmed(
    true_s: float, requested_s: float | None, trim: bool, expected: Duration
) -> None:
    assert resolve_duration(true_s, requested_s, trim=trim) == expected


@given(LENGTHS, LENGTHS, st.booleans())
def test_duration_is_never_longer_than_the_speech(true_s: float, requested_s: float, trim: bool) -> None:
    duration = resolve_duration(true_s, requested_s, trim=trim)
    assert duration.seconds <= true_s
    assert duration.seconds == true_s or trim
    assert duration.corrected == (abs(requested_s - true_s) > 0.04 and duration.seconds == true_s)
