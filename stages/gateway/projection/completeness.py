"""Whether the table holds every event: which partitions this process reads, and how far it has got.

The event loop and the thread of the watchdog write it; single assignments need no lock.
"""

from dataclasses import dataclass, field

from shared.runtime.host.not_ready import NOT_READY
from stages.gateway.projection.group_progress import Place


@dataclass
class Completeness:
    """The state that readiness depends on."""

    broker_answers: bool = False
    missing_topics: list[str] = field(default_factory=list)
    owned: set[Place] = field(default_factory=set)
    """The partitions that the group has given to this process."""
    all: set[Place] = field(default_factory=set)
    """Every partition; empty until the first look."""
    loaded: bool = False
    """The states of ``render.jobs`` are in the table."""
    caught_up: bool = False
    """Everything is committed that was on the topics at the first look after the states were read."""
    lag: int | None = None
    """Records that were not committed at the last look."""
    checked_ms: int = 0
    """When the last look began, milliseconds since the epoch."""
    generation: int = 0
    """Rises whenever the states must be read again."""
    _target: dict[Place, int] | None = None

    def reason(self) -> str | None:
        """Why the answers are not those of all events; None when they are."""
        if not self.broker_answers:
            return "the broker does not answer"
        if self.missing_topics:
            return f"{NOT_READY}missing topics: {', '.join(self.missing_topics)}"
        if not self.owned:
            return "the consumer group has not been joined"
        if self.all and self.owned != self.all:
            return f"{NOT_READY}another replica reads {len(self.all - self.owned)} of {len(self.all)} partitions"
        if not self.loaded:
            return "the states of the jobs are being read"
        return None if self.caught_up else f"{self.lag or 'some'} records are still to be read"

    def assigned(self, partitions: set[Place]) -> None:
        """The group has assigned these partitions, and no other, to this process."""
        if partitions - self.owned:
            # Another replica may have written states of these jobs since they were read here; also before the first
            # assignment, for which a starting process waits while others still fold.
            self.unload()
        self.owned = partitions

    def revoked(self, partitions: set[Place]) -> None:
        """The group takes these partitions away, perhaps to give them back at once."""
        self.owned = self.owned - partitions

    def unload(self) -> None:
        """The states must be read again."""
        self.loaded = self.caught_up = False
        self._target = None
        self.generation += 1

    def states_read(self, generation: int) -> None:
        """The states are in the table, as they were when the reading began in this generation."""
        self.loaded = generation == self.generation

    def looked(self, committed: dict[Place, int], ends: dict[Place, int], started_ms: int) -> None:
        """The broker has told committed offsets and ends."""
        self.all = set(ends)
        self.lag = sum(max(0, end - committed[place]) for place, end in ends.items())
        self.checked_ms = started_ms
        if self.loaded:
            target = self._target = self._target or ends
            self.caught_up = all(committed.get(place, 0) >= end for place, end in target.items())
