"""The newest events in memory, so that a watcher that comes back gets what it has missed, and nothing twice."""

import re
import secrets
from collections import deque
from collections.abc import Iterator
from functools import cached_property

from shared.client import event_log
from shared.messages.events import AnyEvent

MAX_RECORDS = 20_000
"""Records that are kept, the newest."""
MAX_BYTES = 64 << 20
"""Bytes of keys and values that are kept: whoever may write events must not fill the memory of their readers."""
_POSITION = re.compile(r"([0-9a-f]{12})-([0-9]{1,18})(-end)?")


class Record:
    """A record of ``render.events``, parsed when somebody needs it."""

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.value = value
        self.number = 0
        """Its place in the ring, from 1."""

    @cached_property
    def event(self) -> AnyEvent | None:
        """The event; None for a record that is none, or whose key is not that of its job."""
        event = event_log.parse(self.value)
        return event if event is not None and event.job_id.encode() == self.key else None


class Ring:
    """The records of one topic since this process has read it; used by the event loop alone.

    The position of a message is ``<run>-<number>``, and ends with ``-end`` when nothing follows the message. The run is
    random: a position of another process, or from before a gap, is not found here.
    """

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._start()

    def _start(self) -> None:
        self._run = secrets.token_hex(6)
        self._records: deque[Record] = deque()
        self._of_key: dict[bytes, deque[Record]] = {}
        self._bytes = 0
        self._newest = 0

    def restart(self) -> None:
        """Forget everything: records were missed."""
        self._start()

    def append(self, record: Record) -> None:
        """Add the newest record."""
        self._newest += 1
        record.number = self._newest
        self._records.append(record)
        self._of_key.setdefault(record.key, deque()).append(record)
        self._bytes += len(record.key) + len(record.value)
        while len(self._records) > self._max_records or self._bytes > self._max_bytes:
            oldest = self._records.popleft()
            self._bytes -= len(oldest.key) + len(oldest.value)
            same_key = self._of_key[oldest.key]
            same_key.popleft()
            if not same_key:
                del self._of_key[oldest.key]

    def of_job(self, job_id: str) -> list[Record]:
        """The records under the job's id, of whatever tenant, the oldest first."""
        return list(self._of_key.get(job_id.encode(), ()))

    def of_batch(self, batch_id: str) -> Iterator[Record]:
        """The records that may belong to the batch, of whatever tenant, the oldest first."""
        name = batch_id.encode()
        return (record for record in self._records if name in record.value)

    def position(self, number: int | None = None, *, is_last: bool = False) -> str:
        """The position of the record with this number; None: of the newest."""
        return f"{self._run}-{self._newest if number is None else number}" + ("-end" if is_last else "")

    def number_of(self, position: str) -> int | None:
        """The record that the position names; None where a later one may be missing here: the position is another
        run's, is none, or records after it have been dropped."""
        match = _POSITION.fullmatch(position)
        if match is None or match[1] != self._run:
            return None
        number = int(match[2])
        return number if self._newest - len(self._records) <= number <= self._newest else None


def is_last(position: str | None) -> bool:
    """Whether the position is that of a message that nothing follows, of whatever process."""
    match = _POSITION.fullmatch(position or "")
    return match is not None and match[3] is not None
