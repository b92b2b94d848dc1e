"""A partition that this member of the group owns: offsets, attempt counts, and what the broker has of them."""

from confluent_kafka import TopicPartition

from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.consume.attempt_counts import AttemptCounts, parse_counts
from shared.runtime.consume.offset_tracker import OffsetTracker

Name = tuple[str, int]
"""Topic and number of a partition."""


class OwnedPartition:
    """The state of a partition from its assignment to its release. Used by the consumer loop's thread only.

    Its records wait until ``restore`` has been called, because nobody knows before whether one of them kills services.
    """

    def __init__(self, assignment: PartitionAssignment) -> None:
        self.assignment = assignment
        self._tracker = OffsetTracker()
        self._counts = AttemptCounts({})
        self._known = False
        self._at_broker: tuple[int, str] | None = None
        """The committed offset and its metadata."""

    @property
    def name(self) -> Name:
        """Topic and number."""
        return self.assignment.topic, self.assignment.partition

    @property
    def known(self) -> bool:
        """Whether the attempt counts have been read."""
        return self._known

    @property
    def ahead(self) -> int:
        """Number of delivered records from the first one on that is not settled, those settled ahead of it included."""
        return self._tracker.ahead

    @property
    def unfinished(self) -> bool:
        """Whether a delivered record is neither settled nor dropped."""
        return self._tracker.running

    def restore(self, committed: TopicPartition, survived: frozenset[int] = frozenset()) -> None:
        """Take the group's committed offset and the counts in its metadata.

        ``survived``: offsets of the records that ran here when this process lost the partition. Each counts as one
        crash there, but this process lives.
        """
        counts = parse_counts(committed.metadata)
        self._counts = AttemptCounts({offset: n - (offset in survived) for offset, n in counts.items()})
        if committed.offset >= 0:
            self._at_broker = committed.offset, committed.metadata or ""
        self._known = True

    def begin_at(self, offset: int) -> None:
        """Set the start of a partition for which the group has committed nothing: it is committed, so that the lag is
        known before the first record is settled."""
        self._tracker.reached(offset)

    def deliver(self, record: Record) -> bool:
        """Note a delivered record; False when it is a second delivery and must not be processed."""
        restarts = self._tracker.restarts
        taken = self._tracker.start(record.offset, (record.timestamp_ms, record.key, hash(record.value)))
        if self._tracker.restarts != restarts:
            self._counts.clear()
            self._at_broker = None
        return taken

    def reached(self, position: int) -> None:
        """Note that all records before ``position``, the partition's end, have been delivered."""
        self._tracker.reached(position)

    def crashes(self, offset: int) -> int:
        """Crashes of the record at this offset, in whichever process."""
        return self._counts.crashes(offset)

    def start(self, offset: int) -> None:
        """The record will run after the next commit."""
        self._counts.start(offset)

    def crash(self, offset: int) -> None:
        """The worker process died on the record."""
        self._counts.crash(offset)

    def pause(self, offset: int) -> None:
        """The record came back unsettled and will run here again."""
        self._counts.release(offset)

    def drop(self, offset: int) -> None:
        """The record will not run here; whoever owns the partition next gets it again."""
        self._counts.release(offset)
        self._tracker.drop(offset)

    def finish(self, offset: int) -> None:
        """The record is settled."""
        self._counts.settle(offset)
        self._tracker.finish(offset)

    def release(self, offset: int) -> None:
        """Take back the count of a record that still runs here: its task is interrupted, and that is not its fault."""
        self._counts.release(offset)

    @property
    def running(self) -> frozenset[int]:
        """Offsets of the records that run, for which the broker has or will have a count."""
        return self._counts.running

    def to_commit(self) -> TopicPartition | None:
        """What the broker does not have yet: an advanced offset, or other counts; None when it has everything."""
        base = self._tracker.committable()
        if not self._known or base is None:
            return None
        state = base, self._counts.metadata(base)
        if state == self._at_broker:
            return None
        return TopicPartition(*self.name, offset=base, metadata=state[1])

    @property
    def at_broker(self) -> TopicPartition | None:
        """What the broker has; None before the first commit."""
        if self._at_broker is None:
            return None
        offset, metadata = self._at_broker
        return TopicPartition(*self.name, offset=offset, metadata=metadata)

    def committed(self, partition: TopicPartition) -> None:
        """Note that the broker accepted what ``to_commit`` returned."""
        self._at_broker = partition.offset, partition.metadata or ""
