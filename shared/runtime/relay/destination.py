"""Where a record on a retry topic returns to, and with which headers. Pure functions over the record."""

from collections.abc import Iterable, Mapping

from shared.messages.delivery_headers import RETRY_CODE, RETRY_TOPIC, read_delivery, without
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.pipeline import FIRST, WEBHOOKS, step
from shared.messages.tenant_topics import requests_of
from shared.messages.tiers import Tier
from shared.messages.topics import RETRY, work_topics
from shared.messages.topics import WEBHOOKS as NOTICES
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.failures import InvalidRecord


class Destinations:
    """The topics that records may return to: those that stages read, and that of webhooks, with this deployment's
    prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        # Of every engine of this build: whether one is switched off shows when its topic is missing.
        topics = work_topics(ENGINE_PARAMS) | {NOTICES: WEBHOOKS}
        self._stages: Mapping[str, str] = {prefix + name: stage for name, stage in topics.items()}

    def topic(self, record: Record) -> str:
        """The topic that the record names. Raises InvalidRecord when it names none that a stage reads."""
        topic = read_delivery(record.headers).retry_topic
        if topic is None:
            raise InvalidRecord(f"the record on a retry topic has no header {RETRY_TOPIC}")
        if topic not in self._stages and not self._is_of_tenant(topic):
            raise InvalidRecord(f"the header {RETRY_TOPIC} names no topic that a stage reads")
        return topic

    def is_keyed(self, topic: str) -> bool:
        """Whether the record's key chooses the partition, as clients do on ``render.requests``."""
        return self._stage(topic) in (FIRST, WEBHOOKS)

    def is_of_engine(self, topic: str) -> bool:
        """Whether the topic belongs to one engine, which may be switched off."""
        return not self.is_of_webhooks(topic) and step(self._stage(topic)).per_engine

    def is_of_webhooks(self, topic: str) -> bool:
        """Whether the topic has notices of webhooks, which concern no job that goes on."""
        return self._stage(topic) == WEBHOOKS

    def _stage(self, topic: str) -> str:
        return FIRST if self._is_of_tenant(topic) else self._stages[topic]

    def _is_of_tenant(self, topic: str) -> bool:
        """Whether the topic takes the requests of one tenant, in a deployment where each has its own."""
        return topic.startswith(self._prefix) and requests_of(topic.removeprefix(self._prefix)) is not None


def returned_headers(record: Record) -> Headers:
    """The record's headers without the two that only retry topics have: its number of headers is the same at every
    attempt."""
    return without(record.headers, (RETRY_TOPIC, RETRY_CODE))


def tiers_of(prefix: str, names: Iterable[str]) -> dict[str, Tier]:
    """The retry topics among topic names, each with its tier; also those that are no longer configured, which may still
    hold records."""
    found: dict[str, Tier] = {}
    for name in sorted(names):
        if name.startswith(prefix + RETRY):
            try:
                found[name] = Tier.parse(name.removeprefix(prefix + RETRY))
            except ValueError:
                continue  # Not a tier: another program's topic.
    return found
