"""The record on a retry topic: the consumed record byte for byte, with headers that name its next attempt.

The relay sends it back to its topic when its tier is over.
"""

import time

from shared.messages import delivery_headers as own
from shared.messages.topics import retry_topic
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.disposition import Retry
from shared.runtime.producers import EventProducer
from shared.telemetry.propagation import inject


def retry_headers(record: Record, retry: Retry) -> Headers:
    """The record's headers in their order, without lipstage's own and those of its trace, which are then set.

    The trace is that of the current span, the attempt that failed: the next attempt is its child, and linked to it. Set
    and not appended: a retry of a retry has as many headers, and exactly one traceparent.
    """
    delivery = own.read_delivery(record.headers)
    now_ms = time.time_ns() // 1_000_000
    origin_ms = record.appended_ms(now_ms) if delivery.origin_ms is None else delivery.origin_ms
    # While the circuit breaker is open a record may return many times: that makes its own later waits no longer.
    is_its_own = retry.counted or retry.reason.is_outage
    values = {
        own.ATTEMPT: retry.next_attempt,
        own.RETRIES: delivery.retries + is_its_own,
        own.ORIGIN: own.source_of(record.headers, record.topic, record.partition, record.offset),
        own.ORIGIN_TIME: origin_ms,
        own.REPLAY_COUNT: delivery.replays,
        own.RETRY_TOPIC: record.topic,
        own.RETRY_CODE: retry.code,
    }
    kept = own.without(record.headers, own.OWN | own.TRACE)
    return [*kept, *inject(), *((name, str(value).encode()) for name, value in values.items())]


def send_retry(producers: EventProducer, prefix: str, record: Record, retry: Retry) -> int:
    """Send the record to the topic of its tier; on return the broker has it. Returns when it is due, milliseconds since
    the epoch by the broker's clock.

    Uses the raw producer: an instrumented one would add a second traceparent. Raises RecordRefused, TopicMissing,
    DeliveryFailed.
    """
    topic = prefix + retry_topic(retry.tier)
    delivered = producers.send(topic, record.key, record.value, retry_headers(record, retry)).wait()
    return delivered.timestamp_ms + retry.tier.seconds * 1000
