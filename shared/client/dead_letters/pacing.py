"""How fast records are sent: at most so many a second, and only while the target's consumer group keeps up."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.dead_letters.resending import group_of
from shared.client.errors import BrokerUnreachable, InvalidRequest
from shared.client.topic_log import ANSWER_S

MEASURE_S = 0.5
"""How often the lag is measured while it holds the replay back, seconds."""
STEP_S = 0.05


class Pace:
    """Decides when the next record may go."""

    def __init__(self, connection: Connection, rate: float | None, max_in_flight: int | None) -> None:
        """``rate``: records a second. ``max_in_flight``: records of the target topic that its group has not committed.

        Raises InvalidRequest.
        """
        if rate is not None and not 0 < rate < 1e9:
            raise InvalidRequest(f"--rate must be more than 0 records a second, not {rate:g}")
        if max_in_flight is not None and max_in_flight < 1:
            raise InvalidRequest(f"--max-in-flight must be at least 1, not {max_in_flight}")
        self._connection, self._interval, self._limit = connection, 1 / rate if rate else 0.0, max_in_flight
        self._next = 0.0
        self._lags: dict[str, _Lag] = {}

    def wait(self, topic: str, serve: Callable[[float], None], under_way: Callable[[], int]) -> None:
        """Return when a record may be sent to the topic (its full name). ``serve`` is called while waiting, with the
        seconds that it may take; ``under_way`` returns how many records the broker may not have yet.

        Raises BrokerUnreachable, InvalidRequest for a topic without a known group.
        """
        if self._interval:
            while (left := self._next - time.monotonic()) > 0:
                serve(min(left, STEP_S))
            self._next = max(self._next, time.monotonic() - self._interval) + self._interval
        if self._limit is not None:
            lag = self._lags.get(topic) or self._lags.setdefault(topic, _Lag(self._connection, topic))
            while lag.sent >= self._limit - lag.measured:
                if not lag.measure(under_way):
                    serve(STEP_S)
            lag.sent += 1

    def close(self) -> None:
        """Close what measures the lags."""
        for lag in self._lags.values():
            lag.close()


class _Lag:
    """The lag of one topic's group: measured, and what was sent since then."""

    def __init__(self, connection: Connection, topic: str) -> None:
        group = group_of(connection, topic)
        if group is None:
            raise InvalidRequest(f"no stage reads {topic}: --max-in-flight can't be kept there")
        # It asks for the group's commits, and never joins the group.
        self._consumer = connection.consumer({"group.id": group})
        self._topic = topic
        self._due = 0.0
        self.measured, self.sent = 0, 1 << 60  # Measure before the first record.

    def measure(self, under_way: Callable[[], int]) -> bool:
        """Measure, unless that was done a moment ago."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + MEASURE_S
        self.sent = under_way()  # Counted twice where the broker has them by now, but never left out.
        self.measured = lag(self._consumer, self._topic)
        return True

    def close(self) -> None:
        self._consumer.close()


def lag(consumer: Any, topic: str) -> int:
    """Records of the topic that the consumer's group has not committed. Raises BrokerUnreachable, TopicMissing."""
    numbers = topic_log.partitions(consumer, topic)
    try:
        committed = consumer.committed([TopicPartition(topic, p) for p in numbers], timeout=ANSWER_S)
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
    marks = {p: topic_log.watermarks(consumer, topic, p) for p in numbers}
    return _total({p.partition: p.offset for p in committed}, marks)


def _total(committed: Mapping[int, int], marks: Mapping[int, tuple[int, int]]) -> int:
    return sum(max(0, high - max(committed.get(p, -1), low)) for p, (low, high) in marks.items())
