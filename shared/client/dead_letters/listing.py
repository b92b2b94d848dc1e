"""Lists dead letters with their states, and counts them by one property."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.filters import DeadLetterFilter
from shared.client.dead_letters.states import Ledger, State, States, read_states
from shared.client.errors import InvalidRequest
from shared.messages.topics import DLQ

GROUPS = ("code", "stage", "class", "tenant", "version", "state")
"""What dead letters can be counted by."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A dead letter and its state."""

    dead: DeadLetter
    state: State
    tenant: str | None
    job_id: str | None

    def as_json(self) -> dict[str, Any]:
        """For scripts: stable names, times in milliseconds since the epoch."""
        dead = self.dead
        return {
            "id": dead.id,
            "time_ms": dead.timestamp_ms,
            "state": self.state.name,
            "ended": self.state.end or None,
            "stage": dead.stage,
            "code": dead.code,
            "class": dead.failure_class,
            "message": dead.errors.get("message", ""),
            "exception": dead.errors.get("exception.class", ""),
            "tenant": self.tenant,
            "job_id": self.job_id,
            "topic": dead.topic,
            "partition": dead.source.partition,
            "offset": dead.source.offset,
            "version": dead.version,
            "replays": dead.delivery.replays,
            "trace_id": dead.trace_id,
        }


def dead_letters(connection: Connection, chosen: DeadLetterFilter) -> Iterator[Listed]:
    """The dead letters that match, partition by partition as they come. Raises BrokerUnreachable, TopicMissing."""
    states = read_states(connection, Ledger(connection))
    for dead in matching(connection, chosen, states):
        yield listed(connection, dead, states.of(dead))


def matching(connection: Connection, chosen: DeadLetterFilter, states: States) -> Iterator[DeadLetter]:
    """The dead letters that match, also in their state. Raises BrokerUnreachable, TopicMissing."""
    prefix = connection.settings.topic_prefix
    if chosen.ids:
        found = scan.by_ids(connection, list(chosen.ids))
    else:
        found = scan.dead_letters(connection, scan.ranges(connection, connection.topic(DLQ), chosen.since_ms))
    for dead in found:
        if chosen.matches(dead, prefix) and chosen.accepts(states.of(dead)):
            yield dead


def listed(connection: Connection, dead: DeadLetter, state: State) -> Listed:
    """A dead letter with its job."""
    job = dead.identity(connection.settings.topic_prefix)
    return Listed(dead, state, job.tenant if job else None, job.identity.job_id if job else None)


@dataclass(slots=True)
class Group:
    """A number of dead letters with one property in common."""

    count: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0
    example: str = ""
    """The id of the newest."""

    def add(self, dead: DeadLetter) -> None:
        """Count one more."""
        self.count += 1
        self.oldest_ms = min(self.oldest_ms or dead.timestamp_ms, dead.timestamp_ms)
        if dead.timestamp_ms >= self.newest_ms:
            self.newest_ms, self.example = dead.timestamp_ms, dead.id


@dataclass
class Groups:
    """Dead letters counted by one of ``GROUPS``."""

    by: str
    groups: dict[str, Group] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.by not in GROUPS:
            raise InvalidRequest(f"dead letters can't be grouped by {self.by!r}", f"one of {', '.join(GROUPS)}")

    def add(self, one: Listed) -> None:
        """Count a dead letter."""
        dead = one.dead
        name = {
            "code": dead.code,
            "stage": dead.stage,
            "class": dead.failure_class,
            "tenant": one.tenant or "",
            "version": dead.version,
            "state": str(one.state),
        }[self.by]
        self.groups.setdefault(name or "-", Group()).add(dead)

    def ordered(self) -> list[tuple[str, Group]]:
        """The largest first."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))
