"""Errors that end this process's membership in the consumer group for good."""

from confluent_kafka import KafkaError, KafkaException

ENDS_MEMBERSHIP = {
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNRELEASED_INSTANCE_ID,
}
SAME_INSTANCE = (
    "another member of the consumer group has the same LIPSTAGE_GROUP_INSTANCE_ID; each replica needs its own"
)


def is_fatal(error: KafkaError) -> bool:
    """Whether the client itself has failed, consumer or producer: only a new one can go on."""
    # The client delivers its fatal errors under this code, and then ``fatal()`` is false.
    return error.fatal() or error.code() == KafkaError._FATAL


def ends_membership(error: KafkaError) -> bool:
    """Whether only a new consumer can go on after this error."""
    return is_fatal(error) or error.code() in ENDS_MEMBERSHIP


def membership_ended(error: KafkaError) -> KafkaException:
    """The exception for such an error, with a reason that an operator understands."""
    text = error.str()
    # A fatal error has lost its own code; both texts of Kafka (fenced, unreleased) name the instance.
    if "group.instance.id" in text or "instance ID" in text:
        return KafkaException(KafkaError(error.code(), f"{SAME_INSTANCE} ({text})", True))
    return KafkaException(error)
