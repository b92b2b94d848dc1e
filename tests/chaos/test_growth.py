"""The slopes of memory and descriptors that the soak prints."""

from pathlib import Path

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.growth import Growth, Sample


def growth(*series: tuple[str, float, float, float]) -> Growth:
    """Services with (name, MiB a minute, descriptors a minute, minutes)."""
    made = Growth(Fleet({}, Path()))
    for pid, (name, memory, files, minutes) in enumerate(series):
        made.samples[name, pid] = [
            Sample(second, 100 + memory * second / 60, 20 + round(files * second / 60))
            for second in range(0, int(minutes * 60) + 1, 5)
        ]
    return made


def test_slope_is_the_growth_a_minute() -> None:
    memory, files, minutes = growth(("face", 2.0, 60.0, 5)).slopes()["face"]
    assert memory == pytest.approx(2.0)
    assert files == pytest.approx(60.0, rel=0.01)
    assert minutes == pytest.approx(5.0)


def test_longer_process_counts_more_and_a_short_one_not_at_all() -> None:
    slopes = growth(("face", 4.0, 0, 2), ("face", 1.0, 0, 4), ("face", 100.0, 0, 0.5), ("audio", 1.0, 0, 0.5)).slopes()
    assert slopes.keys() == {"face"}
    assert slopes["face"][0] == pytest.approx(2.0)
