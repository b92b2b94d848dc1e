"""The relay's producer: sends records exactly as given, many at a time; their reports show the broker's time."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Headers
from shared.runtime.consume.membership import is_fatal

FLUSH_STEP_S = 0.1
BY_KEY = -1
"""As a partition: the key chooses it (murmur2), and none for a record without a key."""
OnReport = Callable[[KafkaError | None], None]
PRODUCER = {
    # The producer itself retries without end while the broker is away: so the records of a partition keep their order,
    # and only an error that concerns the record or its topic is reported.
    "delivery.timeout.ms": 0,
    # Thousands may be due at once; one that is due alone waits no longer than the loop's own step.
    "linger.ms": 5,
    # How long a topic may be unknown before its records come back; the default of 30 s holds up their partitions.
    "topic.metadata.propagation.max.ms": 5_000,
}
"""Properties in addition to those of the stages."""


class Sender:
    """A raw producer whose reports are served by the thread that calls ``serve``, the one that sends."""

    def __init__(self, producer: Any, clock: BrokerClock, clock_topic: str) -> None:
        self._producer = producer
        self._clock = clock
        self._clock_topic = clock_topic
        self._probing = False
        self.in_flight = 0
        """Records without a report."""
        self.lacks_broker_time = False
        """The clock's topic is not set to LogAppendTime: the time stays unknown, and nothing is sent."""

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        on_report: OnReport,
    ) -> bool:
        """Send a record; ``on_report`` gets None or the error, during ``serve``. False when the local queue is full.

        Raises KafkaException for a fatal error of the client: the process must end and be started again.
        """
        sent_at = self._clock.sent()

        def reported(error: KafkaError | None, message: Any) -> None:
            self.in_flight -= 1
            if error is None:
                self._observe(topic, message, sent_at)
            elif is_fatal(error):
                raise KafkaException(error)
            on_report(error)

        try:
            self._producer.produce(
                topic=topic, partition=partition, key=key, value=value, headers=list(headers), on_delivery=reported
            )
        except BufferError:
            return False
        except KafkaException as e:
            if is_fatal(e.args[0]):
                raise
            on_report(e.args[0])
        except (TypeError, ValueError) as e:
            on_report(KafkaError(KafkaError._INVALID_ARG, f"{type(e).__name__}: {e}"))
        else:
            self.in_flight += 1
        return True

    def probe(self) -> None:
        """Ask for the broker's time, by an empty record; nothing while such a record has no report."""
        if self._probing:
            return
        self._probing = True  # Before: a refusal of the client, as for a missing topic, is reported during ``send``.
        if not self.send(self._clock_topic, BY_KEY, None, None, (), self._probed):
            self._probing = False

    def _probed(self, _: KafkaError | None) -> None:
        self._probing = False

    def _observe(self, topic: str, message: Any, sent_at: float) -> None:
        kind, timestamp_ms = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self._clock.reported(timestamp_ms, sent_at)
        if topic == self._clock_topic:
            self.lacks_broker_time = kind != TIMESTAMP_LOG_APPEND_TIME

    def serve(self, timeout: float = 0.0) -> None:
        """Serve delivery reports, waiting at most ``timeout`` seconds for the first. Raises KafkaException as ``send``
        does."""
        self._producer.poll(timeout)

    def close(self) -> None:
        """Forget what has no report: the records are not committed, and are sent again."""
        self._producer.purge()
        self._producer.poll(0)
