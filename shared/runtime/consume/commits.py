"""When offsets and attempt counts are committed, and what waits for it."""

import math
import time
from collections.abc import Collection, Mapping

from confluent_kafka import TopicPartition

from shared.runtime.consume.commit_request import commit
from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.crash_reports import CrashReports
from shared.runtime.consume.dispatcher import Dispatcher
from shared.runtime.consume.owned_partition import Name, OwnedPartition

COMMIT_LIMIT_S = 600.0
"""A commit to a broker that hangs lasts as long as the broker hangs; only after this time does it count as a fault of
this process, seconds. Killing it earlier would help nobody, and count as a crash of the records that run."""


class Commits:
    """Commits what the broker does not have yet. Used by the consumer loop's thread only."""

    def __init__(
        self,
        consumer: Consumer,
        owned: Mapping[Name, OwnedPartition],
        dispatcher: Dispatcher,
        crashes: CrashReports,
    ) -> None:
        self._consumer = consumer
        self._owned = owned
        self._dispatcher = dispatcher
        self._crashes = crashes
        self._due_at = math.inf
        self._not_before = 0.0
        self._waits_since: float | None = None

    @property
    def waits(self) -> bool:
        """Whether the loop waits for the broker's answer to a commit, within the limit. Any thread."""
        since = self._waits_since
        return since is not None and time.monotonic() - since < COMMIT_LIMIT_S

    def due_in(self, seconds: float) -> None:
        """There is something to commit within ``seconds``."""
        self._due_at = min(self._due_at, time.monotonic() + seconds)

    def commit_due(self) -> None:
        """Commit when something is due, and with it the counts of the chosen records; then submit these.

        One commit covers all. When it fails the records wait: a record without a count at the broker could kill the
        service for ever.
        """
        now = time.monotonic()
        due = self._dispatcher.chosen or self._crashes.counted or now >= self._due_at
        if due and now >= self._not_before and self.commit(self._owned.values()):
            self._due_at = math.inf
            self._crashes.confirm()
            self._dispatcher.submit()

    def commit(self, partitions: Collection[OwnedPartition]) -> bool:
        """Commit offsets and counts of these partitions now; False when it must be repeated, which is then due."""
        offsets = {owned.name: offset for owned in partitions if (offset := owned.to_commit()) is not None}
        if not offsets:
            return True
        if not self._send(list(offsets.values())):
            self.due_in(0.0)
            return False
        for name, offset in offsets.items():
            self._owned[name].committed(offset)
        return True

    def confirm(self) -> bool:
        """Commit once more what the broker has of one partition: it accepts that from a member of the group only.

        True when it did, or when no partition has a committed offset, so that none of its records runs.
        """
        offset = next((owned.at_broker for owned in self._owned.values() if owned.at_broker is not None), None)
        if offset is None:
            return True
        return time.monotonic() >= self._not_before and self._send([offset])

    def _send(self, offsets: list[TopicPartition]) -> bool:
        """Commit, and note how long to wait after a failure; whether the broker accepted it."""
        self._waits_since = time.monotonic()
        try:
            retry_after = commit(self._consumer, offsets)
        finally:
            self._waits_since = None
        if retry_after is not None:
            self._not_before = time.monotonic() + retry_after
        return retry_after is None
