"""Points in time as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.cli import moments
from shared.cli.errors import BadUse

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        (" 2 h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-27T09:30", datetime(2026, 11, 27, 9, 30, tzinfo=UTC)),
        ("2026-11-27T09:30+01:00", datetime(2026, 11, 27, 8, 30, tzinfo=UTC)),
        ("2026-11-27T09:30:00Z", datetime(2026, 11, 27, 9, 30, tzinfo=UTC)),
    ],
)
def test_ages_and_iso_times_are_read(text: str, meant: datetime) -> None:
    assert moments.parse(text, NOW) == meant


@pytest.mark.parametrize("text", ["", "2", "h", "2y", "yesterday", "-2h", "9999999h", "27.11.2026"])
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(BadUse, match="is not a time"):
        moments.parse(text, NOW)
