"""Retry tiers as they are configured."""

import pytest

from shared.messages.tiers import DEFAULT_TIERS, parse_tiers
from shared.messages.topics import WORK_DAYS


@pytest.mark.parametrize("names", [("x",), ("0s",), ("10",), ("1m", "60s"), ("1h", "1m"), ("25h",), ("99999h",)])
def test_tiers_that_are_malformed_do_not_grow_or_outlast_their_topic_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="tier"):
        parse_tiers(names)


def test_longest_tier_is_far_below_the_retention_of_its_topic() -> None:
    (tier,) = parse_tiers(("24h",))
    assert tier.seconds * 2 < WORK_DAYS * 24 * 3600
    assert [one.name for one in DEFAULT_TIERS] == ["10s", "1m", "10m"]
