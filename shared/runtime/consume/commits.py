"""When offsets and attempt counts are committed, and what waits for it."""

import math
import time
from collections.abc import Collection, Mapping

from shared.runtime.consume.commit_request import commit
from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.crash_reports import CrashReports
from shared.runtime.consume.dispatcher import Dispatcher
from shared.runtime.consume.owned_partition import Name, OwnedPartition


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
        retry_after = commit(self._consumer, list(offsets.values()))
        if retry_after is not None:
            self._not_before = time.monotonic() + retry_after
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
        if time.monotonic() < self._not_before:
            return False
        retry_after = commit(self._consumer, [offset])
        if retry_after is not None:
            self._not_before = time.monotonic() + retry_after
        return retry_after is None
