"""Commits offsets with their metadata, and tells the errors apart."""

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.consumer import Consumer

LOST_RETRY_S = 0.25
TRANSIENT_RETRY_S = 1.0
STATE_LOST = {
    KafkaError._STATE,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._NO_OFFSET,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._FATAL,
    KafkaError.FENCED_INSTANCE_ID,
}
"""Commit errors that mean: the group is changing, or another member owns the partition and receives the record again.
They are no failure. The next poll reports what was lost, or with its reason that the membership has ended; what is
still held is committed a moment later."""
TRANSIENT = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
"""Transient commit errors: the same offsets are committed again a moment later."""

log = structlog.get_logger()


def commit(consumer: Consumer, offsets: list[TopicPartition]) -> float | None:
    """Commit synchronously: rates are low, and a failure is known at once.

    Returns None on success, else after how many seconds to commit again. Raises KafkaException for an error that does
    not pass.
    """
    try:
        results = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as e:
        error = e.args[0]
        if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE and any(p.metadata for p in offsets):
            # A broker with a smaller offset.metadata.max.bytes: the offsets matter more than the counts.
            log.warning("attempt_counts_refused", text=error.str())
            return commit(consumer, [TopicPartition(p.topic, p.partition, p.offset) for p in offsets])
        return _retry_after(error, e)
    for result in results:
        if result.error is not None:
            return _retry_after(result.error, KafkaException(result.error))
    return None


def _retry_after(error: KafkaError, exception: KafkaException) -> float:
    if error.code() in STATE_LOST:
        log.info("commit_after_loss", error=error.name())
        return LOST_RETRY_S
    if error.retriable() or error.code() in TRANSIENT:
        log.warning("commit_failed", error=error.name())
        return TRANSIENT_RETRY_S
    raise exception
