"""Deliveries for tests of the queues: nothing is read from their values."""

import itertools

from confluent_kafka import TopicPartition

from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.owned_partition import OwnedPartition
from shared.runtime.consume.share import Share

_numbers = itertools.count()


def partition(topic: str = "render.face", number: int = 0, *, known: bool = True) -> OwnedPartition:
    """A partition whose attempt counts are known."""
    owned = OwnedPartition(PartitionAssignment(topic, number))
    if known:
        owned.restore(TopicPartition(topic, number, 0))
    return owned


def delivery(
    tenant: str = "a", cost: float = 1.0, due_ms: int = 0, owned: OwnedPartition | None = None, value: bytes = b""
) -> Delivery:
    """The next record that is delivered."""
    owned = owned or partition()
    number = next(_numbers)
    record = Record(*owned.name, number, None, value, [], 0)
    return Delivery(number, record, owned, Share(tenant, due_ms, cost))
