"""Sends records that depend on each other: each next record of a chain goes out once the broker has the one before.

Many chains are under way at once, at most ``WINDOW``. All of it happens in the caller's thread.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from shared.client.dead_letters.dead_letter import Headers

WINDOW = 500
"""Chains under way. A kill loses the ends of at most so many: they are sent again by the next run."""
WINDOW_BYTES = 16 << 20
"""Of the records of all chains under way, so that large ones do not fill the memory."""
POLL_S = 0.05
DRAIN_S = 45.0
"""More than the producer's delivery timeout, seconds."""
AWAY = {KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}


@dataclass(frozen=True, slots=True)
class Outbound:
    """One record to send; ``partition`` -1: chosen by the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    partition: int = -1


Place = tuple[int, int]
"""Partition and offset."""


@dataclass(slots=True)
class Chain:
    """Records that are sent one after the other; each is made from the place of the first."""

    first: Outbound
    then: Iterable[Callable[[Place], Outbound]]
    on_end: Callable[[str | None], None]
    """Is called once: with None when the broker has every record, else with the reason why it has not."""
    size: int = 0
    place: Place | None = None


class Sender:
    """Runs chains on one producer. Not thread-safe."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._count = self._bytes = 0
        self.away: str | None = None
        """The reason once the broker has stopped answering: nothing more should be sent."""

    def submit(self, chain: Chain) -> None:
        """Start a chain. Once the window is full, this waits until half of it is free: one wait for many records."""
        if self._count >= WINDOW or (self._count and self._bytes + chain.size > WINDOW_BYTES):
            while self._count > WINDOW // 2 or (self._count and self._bytes + chain.size > WINDOW_BYTES):
                self.poll(POLL_S)
        self._count, self._bytes = self._count + 1, self._bytes + chain.size
        self._produce(chain, iter(chain.then), chain.first)

    def under_way(self) -> int:
        """Number of chains that have not ended."""
        return self._count

    def poll(self, seconds: float) -> None:
        """Serve delivery reports for at most so long."""
        self._producer.poll(seconds)

    def drain(self) -> None:
        """Wait until every chain has ended; give up when none does for longer than a delivery may take.

        An interrupt in the middle of a report can leave a chain that never ends.
        """
        count, since = self._count, time.monotonic()
        while self._count:
            self.poll(POLL_S)
            if self._count != count:
                count, since = self._count, time.monotonic()
            elif time.monotonic() - since > DRAIN_S:
                self._count, self._bytes = 0, 0
                self.away = self.away or "it has not confirmed every record"

    def _produce(self, chain: Chain, rest: Any, record: Outbound) -> None:
        try:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=record.headers,
                on_delivery=partial(self._reported, chain, rest),
            )
        except (KafkaException, BufferError, TypeError, ValueError) as e:
            error = e.args[0] if isinstance(e, KafkaException) else None
            self._end(chain, error.str() if isinstance(error, KafkaError) else f"{type(e).__name__}: {e}")

    def _reported(self, chain: Chain, rest: Any, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            if error.code() in AWAY:
                self.away = error.str()
            self._end(chain, error.str())
            return
        chain.place = chain.place or (message.partition(), message.offset())
        following = next(rest, None)
        if following is None:
            self._end(chain, None)
        else:
            self._produce(chain, rest, following(chain.place))

    def _end(self, chain: Chain, error: str | None) -> None:
        self._count, self._bytes = self._count - 1, self._bytes - chain.size
        chain.on_end(error)
