"""Decides what follows a failed attempt: another one in the process, a retry topic, or the dead-letter topic."""

from collections.abc import Sequence

from shared.messages.delivery_headers import DeliveryHeaders
from shared.messages.tiers import Tier
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.disposition import DeadLetter, FailureReason, Retry
from shared.runtime.failure_classes import CLASSES

SOURCE = b"/lipstage"
"""Prefix of ``ce_source`` in records that lipstage writes."""


class AttemptPolicy:
    """The policy of one stage service, shared by its slots. Thread-safe."""

    def __init__(self, tiers: Sequence[Tier], max_attempts: int, breaker: CircuitBreaker) -> None:
        """``tiers`` are the retry tiers, the shortest first; ``max_attempts`` is the total of a record's attempts."""
        self._tiers = tuple(tiers)
        self._max_attempts = max_attempts
        self._breaker = breaker

    def repeats_at_once(self, reason: FailureReason, attempt: int) -> bool:
        """Whether the next attempt follows in the process. Only after the first one, and only for an unknown exception:
        what heals in a moment is repeated where it fails, and what takes longer waits on a retry topic."""
        return reason.failure_class == "failed" and attempt == 1 and self._max_attempts > 1

    def decide(
        self, reason: FailureReason, attempt: int, delivery: DeliveryHeaders, job: str, *, own_record: bool
    ) -> Retry | DeadLetter:
        """What follows the failure, which the circuit breaker counts. Call it once for each delivery of a record.

        ``attempt`` is the number of the attempt that failed, ``delivery`` what the record's headers say, ``job`` any id
        of the job, ``own_record`` whether lipstage has written the record. While the breaker is open, a failure that it
        counts is not the job's: no attempt is used. The record returns after the shortest tier, to wait on its own
        topic: when the breaker closes, nobody has to wait for a tier.
        """
        failure = CLASSES[reason.failure_class]
        if failure.counts(own_record=own_record):
            self._breaker.failed(job, reason.code)
            if self._breaker.is_open:
                return Retry(reason, self._tiers[0], delivery.attempt, counted=False)
        tier = self._tiers[min(delivery.retries, len(self._tiers) - 1)]
        if failure.retried and reason.is_outage:
            return Retry(reason, tier, delivery.attempt, counted=False)
        if failure.retried and attempt < self._max_attempts:
            return Retry(reason, tier, attempt + 1)
        return DeadLetter(reason)


def is_own(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether lipstage has written the record with these headers."""
    return any(name.lower() == "ce_source" and (value or b"").startswith(SOURCE) for name, value in headers)
