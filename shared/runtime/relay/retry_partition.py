"""One partition of a retry topic: the records that wait, those that were sent, and the offset that may be committed."""

from collections import deque
from dataclasses import dataclass, field

from shared.messages.tiers import Tier
from shared.runtime.consume.assignment import Record

PAUSE_AT = 512
PAUSE_AT_BYTES = 4 << 20
RESUME_AT = 64
RESUME_AT_BYTES = 1 << 20
"""The partition is paused above the first two limits, and resumed when it waits with less than both of the others."""
MAX_SENT = 1000
"""Sent records that are not settled, at most: a dead letter takes as long as broker and object store need for it."""


@dataclass(slots=True, eq=False)
class WaitingRecord:
    """A record from its delivery here to the commit that covers it."""

    record: Record
    due_ms: int | None
    """The broker's time at which it is due, milliseconds since the epoch; None while the broker's time is unknown and
    the record's timestamp comes from a producer's clock."""
    settled: bool = False
    """The broker has it on its target topic, or as a dead letter."""

    @property
    def size(self) -> int:
        """Bytes of key, value and header values."""
        record = self.record
        headers = sum(len(value or b"") for _, value in record.headers)
        return len(record.key or b"") + len(record.value or b"") + headers


@dataclass(slots=True, eq=False)
class RetryPartition:
    """The assignment of a partition to this process, until it is revoked or lost. Used by one thread.

    Records of one tier have one delay, so that the first record of a partition is due first.
    """

    topic: str
    partition: int
    tier: Tier
    held: bool = True
    """False: another member owns the partition; nothing is sent or committed for it any more."""
    _held_back_until: float | None = None
    _waiting: deque[WaitingRecord] = field(default_factory=deque)
    _sent: deque[WaitingRecord] = field(default_factory=deque)
    _undated: bool = False
    _bytes: int = 0
    _next: int = -1
    _committed: int = -1

    def add(self, record: Record, due_ms: int | None) -> bool:
        """Take a delivered record; False when it waits or was sent already and is not settled."""
        if record.offset < self._next:
            known = [one.record for one in (*self._sent, *self._waiting) if one.record.offset == record.offset]
            if any(one.timestamp_ms == record.timestamp_ms for one in known):
                return False
            # The client moved back, as in a topic that was deleted and created again: commits start from here.
            self._next = self._committed = -1
        waiting = WaitingRecord(record, due_ms)
        self._waiting.append(waiting)
        self._undated = self._undated or due_ms is None
        self._bytes += waiting.size
        self._next = max(self._next, record.offset + 1)
        return True

    @property
    def first(self) -> WaitingRecord | None:
        """The next record to send; None when none waits."""
        return self._waiting[0] if self._waiting else None

    @property
    def oldest(self) -> WaitingRecord | None:
        """The oldest record that is not settled."""
        return next((one for one in self._sent if not one.settled), self.first)

    def hold_back(self, until: float) -> None:
        """Send nothing before the monotonic time ``until``, nor before every sent record is settled: order is kept."""
        self._held_back_until = until

    def may_send(self, monotonic: float) -> bool:
        """Whether the first record may be sent, if it is due."""
        if self._held_back_until is not None and monotonic >= self._held_back_until and not self._sent:
            self._held_back_until = None
        return bool(self._waiting) and self._held_back_until is None and len(self._sent) < MAX_SENT

    @property
    def in_flight(self) -> bool:
        """Whether a sent record is not settled."""
        return bool(self._sent)

    def take(self) -> WaitingRecord:
        """Move the first record to those that were sent. Raises IndexError when none waits."""
        waiting = self._waiting.popleft()
        self._bytes -= waiting.size
        self._sent.append(waiting)
        return waiting

    def settle(self, sent: WaitingRecord) -> None:
        """Note that the broker has the record elsewhere."""
        sent.settled = True
        self._forget_settled()

    def put_back(self, sent: WaitingRecord) -> None:
        """Note that a sent record was not accepted: it waits again, before all later ones."""
        self._sent.remove(sent)
        later = deque[WaitingRecord]()
        while self._waiting and self._waiting[0].record.offset < sent.record.offset:
            later.append(self._waiting.popleft())
        self._waiting.extendleft([sent, *reversed(later)])
        self._bytes += sent.size
        self._forget_settled()

    def _forget_settled(self) -> None:
        while self._sent and self._sent[0].settled:
            self._sent.popleft()

    def set_due(self, now_ms: int) -> None:
        """Give the records without a due time the longest wait: from now."""
        if self._undated:
            self._undated = False
            for one in self._waiting:
                if one.due_ms is None:
                    one.due_ms = now_ms + self.tier.seconds * 1000

    @property
    def is_full(self) -> bool:
        """Whether the client must be paused."""
        return len(self._waiting) >= PAUSE_AT or self._bytes >= PAUSE_AT_BYTES

    @property
    def has_room(self) -> bool:
        """Whether a paused client may be resumed."""
        return len(self._waiting) < RESUME_AT and self._bytes < RESUME_AT_BYTES

    def reached(self, position: int) -> None:
        """Note that the client has delivered all records before ``position``, the end of the partition."""
        self._next = max(self._next, position)

    @property
    def settled_to(self) -> int:
        """The first offset that is not settled, -1 before the first delivery."""
        return min([one.record.offset for one in (*self._sent, *self._waiting) if not one.settled] + [self._next])

    def committable(self) -> int | None:
        """The offset to commit (the next one to read); None when it is already committed."""
        offset = self.settled_to
        return offset if offset > self._committed else None

    def committed(self, offset: int) -> None:
        """Note that the broker accepted a commit."""
        self._committed = max(self._committed, offset)
