"""A partition that is not fetched for a minute is told; one that comes back in time is not."""

from shared.runtime.consume.statistics import STALLED_AFTER_S, FetchStallDetector

AT = ("render.face", "3")


def test_partition_not_fetched_for_too_long_is_named() -> None:
    now = [0.0]
    fetching = FetchStallDetector(clock=lambda: now[0])
    assert fetching.stuck({AT: "validate-epoch-wait"}) is None
    now[0] = STALLED_AFTER_S + 1
    told = fetching.stuck({AT: "validate-epoch-wait"})
    assert told is not None
    assert "render.face partition 3" in told
    assert "validate-epoch-wait" in told


def test_recovered_or_revoked_partition_is_not_named() -> None:
    now = [0.0]
    fetching = FetchStallDetector(clock=lambda: now[0])
    assert fetching.stuck({AT: "offset-query"}) is None
    now[0] = STALLED_AFTER_S - 1
    assert fetching.stuck({AT: "active"}) is None
    now[0] = STALLED_AFTER_S + 10
    assert fetching.stuck({AT: "offset-query"}) is None
    now[0] += STALLED_AFTER_S + 1
    assert fetching.stuck({}) is None
