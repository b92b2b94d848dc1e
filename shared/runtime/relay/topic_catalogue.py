"""The topics of the broker, as far as the relay needs them: the retry topics, and the partitions of every target."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaException

from shared.messages.tiers import Tier
from shared.runtime.kafka_config import METADATA_REFRESH_S
from shared.runtime.producers import MISSING
from shared.runtime.relay.destination import tiers_of

ANSWER_S = 5.0
RETRY_S = 1.0
"""How soon a request that was not answered is repeated, and a missing topic looked for again, seconds."""
log = structlog.get_logger()


class TopicCatalogue:
    """A copy of the broker's list of topics, renewed every ``METADATA_REFRESH_S``. Used by one thread.

    It is read by the producer that sends: that must know a partition before it sends to it.
    """

    def __init__(
        self, producer: Any, prefix: str, required: set[str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``required`` are topics that must exist, such as those of the configured tiers."""
        self._producer = producer
        self._prefix = prefix
        self._required = required
        self._monotonic = monotonic
        self._partitions: dict[str, int] = {}
        self._renew_at = 0.0
        self._renewed_at = -math.inf
        self.broker_answers = False
        """Whether the last request was answered."""
        self.retry_topics: Mapping[str, Tier] = {}

    def renew_if_due(self) -> bool:
        """Renew the copy when it is old; whether it was renewed. Blocks up to ``ANSWER_S`` when the broker is away."""
        if self._monotonic() < self._renew_at:
            return False
        try:
            topics = self._producer.list_topics(timeout=ANSWER_S).topics
        except KafkaException as e:
            if self.broker_answers or not self._partitions:
                log.warning("broker_not_reached", error=e.args[0].name())
            self.broker_answers = False
            self._renew_at = self._monotonic() + RETRY_S
            return False
        # A topic whose leader is being elected is not missing: it keeps what was known of it.
        self._partitions = {
            name: len(topic.partitions) if topic.error is None else self._partitions.get(name, 0)
            for name, topic in topics.items()
            if topic.error is None or topic.error.code() not in MISSING
        }
        self._partitions = {name: count for name, count in self._partitions.items() if count > 0}
        self._renewed_at = self._monotonic()
        self.retry_topics = tiers_of(self._prefix, self._partitions)
        self.broker_answers = True
        self._renew_at = self._monotonic() + (RETRY_S if self.missing else METADATA_REFRESH_S)
        return True

    @property
    def age_s(self) -> float:
        """Age of the copy, seconds; infinite before the first answer."""
        return self._monotonic() - self._renewed_at

    def renew_soon(self) -> None:
        """Make the next call of ``renew_if_due`` within ``RETRY_S`` renew the copy."""
        self._renew_at = min(self._renew_at, self._monotonic() + RETRY_S)

    @property
    def missing(self) -> list[str]:
        """Required topics that do not exist, sorted; empty before the first answer."""
        return sorted(self._required - self._partitions.keys()) if self.broker_answers else []

    def partitions(self, topic: str) -> int:
        """Number of partitions of the topic; 0 when it does not exist."""
        return self._partitions.get(topic, 0)
