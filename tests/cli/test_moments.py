"""Points in time as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.cli import moments
from shared.cli.errors import BadUse
from tests.cli.conftest import Lipstage

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


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2y", "yesterday", "-2h", "9999999h", "27.11.2026", "999999w", "999999 d"]
)
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(BadUse, match="is not a time"):
        moments.parse(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59:59", "0001-01-01T00:00+14:00", "19000d"])
def test_every_time_has_a_timestamp(text: str) -> None:
    for zone in (UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))):
        moments.parse(text, NOW.astimezone(zone)).timestamp()


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("text", ["999999w", "999999d", "", " "])
def test_since_is_refused_by_a_sentence(lipstage: Lipstage, text: str) -> None:
    ran = lipstage("jobs", "--since", text)
    assert (ran.code, f"--since {text!r} is not a time" in ran.err) == (2, True)
