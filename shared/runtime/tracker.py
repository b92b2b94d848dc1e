"""What of a partition may be committed: the contiguous prefix of finished records."""

from shared.runtime.record import Lease


class Tracker:
    """One assigned partition. Used by the pump's thread only.

    With several slots the records of a partition end out of order; committing past one that still runs, or that was
    given back, would lose it in a crash. Every offset from the first one delivered to the position is running, dropped
    or done (finished, or no record at all): the commit is the lowest of the running, the dropped and the position.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._running: set[int] = set()
        self._dropped: set[int] = set()
        self._first: int | None = None
        self._next = -1
        self._committed = -1

    @property
    def running(self) -> bool:
        """Whether a record of this partition is being worked on."""
        return bool(self._running)

    def start(self, offset: int) -> bool:
        """A record was delivered; False when it runs or is done already, and must not be worked on again.

        Records come in rising order. One that was dropped is taken again. An offset before the first one means that
        the client went back: what follows is delivered from there on, and taken.
        """
        if offset in self._running:
            return False
        went_back = self._first is None or offset < self._first
        if went_back:
            self._first, self._next = offset, offset + 1
        elif offset < self._next and offset not in self._dropped:
            return False
        self._dropped.discard(offset)
        self._running.add(offset)
        self._next = max(self._next, offset + 1)
        return True

    def finish(self, offset: int) -> None:
        """A record was settled. One that does not run is a bug: KeyError."""
        self._running.remove(offset)

    def drop(self, offset: int) -> None:
        """A record was taken, but not worked on to its end: it must be delivered again.

        Nothing at or past it is committed until it has been started again and finished.
        """
        self._running.discard(offset)
        self._dropped.add(offset)

    def reached(self, position: int) -> None:
        """All records before ``position`` have been delivered: the client is at the end of the partition.

        The position is past what is no record for us: control records and aborted transactions, compacted and expired
        records. Without it the committed offset would stay before them for ever.
        """
        if self._first is None:
            self._first = position
        self._next = max(self._next, position)

    def committable(self) -> int | None:
        """The offset to commit (the next to read), or None when nothing is new."""
        upto = min([*self._running, *self._dropped, self._next])
        return upto if upto > self._committed else None

    def committed(self, offset: int) -> None:
        """The broker took a commit."""
        self._committed = max(self._committed, offset)
