"""A partition that is not fetched for a minute is reported; one that recovers in time is not."""

from shared.runtime.consume.statistics import STALLED_AFTER_S, FetchStallDetector

PARTITION = ("render.face", "3")


def test_partition_not_fetched_for_too_long_is_named() -> None:
    now = [0.0]
    detector = FetchStallDetector(clock=lambda: now[0])
    assert detector.stalled({PARTITION: "validate-epoch-wait"}) is None
    now[0] = STALLED_AFTER_S + 1
    reason = detector.stalled({PARTITION: "validate-epoch-wait"})
    assert reason is not None
    assert "render.face partition 3" in reason
    assert "validate-epoch-wait" in reason


def test_recovered_or_revoked_partition_is_not_named() -> None:
    now = [0.0]
    detector = FetchStallDetector(clock=lambda: now[0])
    assert detector.stalled({PARTITION: "offset-query"}) is None
    now[0] = STALLED_AFTER_S - 1
    assert detector.stalled({PARTITION: "active"}) is None
    now[0] = STALLED_AFTER_S + 10
    assert detector.stalled({PARTITION: "offset-query"}) is None
    now[0] += STALLED_AFTER_S + 1
    assert detector.stalled({}) is None
