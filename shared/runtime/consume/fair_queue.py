"""The records of one lane that wait in this process: tenants take turns by deficit round robin, so that a tenant with
many records delays the one record of another by one start and not by all of its own.

M. Shreedhar, G. Varghese: Efficient Fair Queuing using Deficit Round Robin, SIGCOMM 1995. The quantum is the cost of
the cheapest record that is next in turn, so that a dear record of one tenant gives the others no long visits: its
tenant saves for it, round by round.
"""

import bisect
from collections import deque
from collections.abc import Callable, Collection

from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.owned_partition import OwnedPartition


class FairQueue:
    """Of one tenant the record that is due first comes first. Used by the consumer loop's thread only."""

    def __init__(self) -> None:
        self._records: dict[str, list[Delivery]] = {}
        self._turns: deque[str] = deque()
        """The tenants; the first one has the turn."""
        self._credit: dict[str, float] = {}
        self._granted = False
        """The tenant that has the turn has got its quantum."""
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """Bytes of the records: values, keys and headers."""
        return self._bytes

    def add(self, delivery: Delivery) -> None:
        """Let a record wait."""
        tenant = delivery.share.tenant
        if tenant not in self._records:
            self._records[tenant] = []
            self._credit[tenant] = 0.0
            self._turns.append(tenant)
        bisect.insort(self._records[tenant], delivery, key=lambda one: (one.share.due_ms, one.number))
        self._account(delivery, 1)

    def next(self, may_start: Callable[[Delivery], bool]) -> Delivery | None:
        """The record that starts next, which ``take`` removes; None when none may start."""
        heads = {
            tenant: head
            for tenant, records in self._records.items()
            if (head := next((one for one in records if may_start(one)), None)) is not None
        }
        if not heads:
            return None
        quantum = min(head.share.cost for head in heads.values())
        while True:
            tenant = self._turns[0]
            if tenant in heads:
                if not self._granted:
                    self._credit[tenant] += quantum
                    self._granted = True
                if self._credit[tenant] >= heads[tenant].share.cost:
                    return heads[tenant]
            self._turns.rotate(-1)
            self._granted = False

    def take(self, delivery: Delivery) -> None:
        """Remove a record that starts; its tenant pays for it."""
        self._credit[delivery.share.tenant] -= delivery.share.cost
        self._remove(delivery)

    def drop(self, partitions: Collection[OwnedPartition]) -> list[Delivery]:
        """Remove the records of these partitions, and return them."""
        dropped = [one for records in self._records.values() for one in records if one.partition in partitions]
        for delivery in dropped:
            self._remove(delivery)
        return dropped

    def _remove(self, delivery: Delivery) -> None:
        tenant = delivery.share.tenant
        self._records[tenant].remove(delivery)
        self._account(delivery, -1)
        if not self._records[tenant]:
            self._granted = self._granted and self._turns[0] != tenant
            self._turns.remove(tenant)
            del self._records[tenant], self._credit[tenant]

    def _account(self, delivery: Delivery, sign: int) -> None:
        self._count += sign
        self._bytes += sign * delivery.bytes
