"""Asked against true length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.audio.duration import Settled, settle

LENGTHS = st.floats(0.2, 3600)


@pytest.mark.parametrize(
    ("true_s", "asked_s", "trim", "expected"),
    [
        (10.0, None, False, Settled(10.0, 0, corrected=False)),
        (10.0, None, True, Settled(10.0, 0, corrected=False)),
        (10.0, 10.03, False, Settled(10.0, 30, corrected=False)),
        (10.0, 9.97, False, Settled(10.0, -30, corrected=False)),
        (10.0, 10.05, False, Settled(10.0, 50, corrected=True)),
        (10.0, 9.0, False, Settled(10.0, -1000, corrected=True)),
        (10.0, 9.0, True, Settled(9.0, -1000, corrected=False)),
        (10.0, 9.98, True, Settled(9.98, -20, corrected=False)),
        (10.0, 12.0, True, Settled(10.0, 2000, corrected=True)),
    ],
)
def test_table(true_s: float, asked_s: float | None, trim: bool, expected: Settled) -> None:
    assert settle(true_s, asked_s, trim=trim) == expected


@given(LENGTHS, LENGTHS, st.booleans())
def test_never_longer_than_the_speech(true_s: float, asked_s: float, trim: bool) -> None:
    settled = settle(true_s, asked_s, trim=trim)
    assert settled.duration_s <= true_s
    assert settled.duration_s == true_s or trim
    assert settled.corrected == (abs(asked_s - true_s) > 0.04 and settled.duration_s == true_s)
