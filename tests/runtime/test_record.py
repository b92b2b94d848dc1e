"""The arrival time of a record: the broker's timestamp, or a producer's where it is plausible."""

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

from shared.runtime.consume.assignment import OLDEST_MS, Record
from shared.runtime.consume.consumer import record_of

NOW_MS = 1_800_000_000_000


class Message:
    """A message with the given timestamp."""

    def __init__(self, kind: int, timestamp_ms: int) -> None:
        self._timestamp = kind, timestamp_ms

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def key(self) -> None: ...
    def value(self) -> None: ...
    def headers(self) -> None: ...


def record(kind: int, timestamp_ms: int) -> Record:
    return record_of(Message(kind, timestamp_ms))


@pytest.mark.parametrize("ago_ms", [0, 5_000, 20 * 24 * 3600 * 1000])
def test_broker_timestamp_is_used(ago_ms: int) -> None:
    assert record(TIMESTAMP_LOG_APPEND_TIME, NOW_MS - ago_ms).appended_ms(NOW_MS) == NOW_MS - ago_ms


@pytest.mark.parametrize("kind", [TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE])
@pytest.mark.parametrize("timestamp_ms", [NOW_MS // 1000, -1, 0, NOW_MS + 1, NOW_MS * 1000, NOW_MS - OLDEST_MS - 1])
def test_impossible_producer_timestamp_is_replaced_by_now(kind: int, timestamp_ms: int) -> None:
    assert record(kind, timestamp_ms).appended_ms(NOW_MS) == NOW_MS


def test_plausible_producer_timestamp_is_used() -> None:
    assert record(TIMESTAMP_CREATE_TIME, NOW_MS - 5_000).appended_ms(NOW_MS) == NOW_MS - 5_000


def test_broker_timestamp_is_used_when_this_clock_is_behind() -> None:
    """A deadline counts from it: with this machine's earlier time it would pass too early."""
    assert record(TIMESTAMP_LOG_APPEND_TIME, NOW_MS + 3_000).appended_ms(NOW_MS) == NOW_MS + 3_000
