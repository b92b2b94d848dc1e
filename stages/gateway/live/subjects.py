"""What can be watched: a job, or a batch. Its state is kept once, however many watch it. For the event loop alone."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from shared.client import Client, JobKey, JobState
from shared.client.batches import BatchState
from shared.client.errors import ClientError
from shared.client.job_state import is_superseded
from shared.messages.events import TERMINAL_TYPES, AnyEvent, Conflict, Purged, TerminalEvent
from stages.gateway.live.messages import STATE, Message, event_json
from stages.gateway.live.ring import Record, Ring
from stages.gateway.live.snapshots import Snapshots
from stages.gateway.live.watcher import Watcher

LAST_TYPES = (*TERMINAL_TYPES, "purged")
"""Types of the events that may end a job."""
MAX_LOOKUPS = 200
"""Jobs of a silent batch whose end the object store is asked for at a time."""
Snapshot = TypeVar("Snapshot", JobState, BatchState)
Name = tuple[str, str, str]
"""``job`` or ``batch``, tenant, id."""


def job_name(key: JobKey) -> Name:
    """The name of a job."""
    return ("job", *key)


def batch_name(tenant: str, batch_id: str) -> Name:
    """The name of a batch."""
    return ("batch", tenant, batch_id)


class Subject(ABC, Generic[Snapshot]):
    """Its state is the snapshot, then every event that the ring holds, then each further one: an event that the
    snapshot includes already changes nothing, so that none is missed between the two."""

    IS_WHOLE = True
    """Whether each message has the whole state."""

    def __init__(self, name: Name, ring: Ring) -> None:
        self.name = name
        self.holders = 0
        """Watchers, and those who wait to become one."""
        self.watchers: set[Watcher] = set()
        self.loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is a state; with the error when it could not be read."""
        self.changes = 0
        """How often the state has changed."""
        self._ring = ring
        self._state: Snapshot | None = None
        self._pending: list[Record] = []

    @abstractmethod
    async def read(self, snapshots: Snapshots) -> Snapshot:
        """The snapshot. Raises ClientError, JobNotFound among them."""

    @abstractmethod
    def ends(self, client: Client) -> list[TerminalEvent]:
        """The terminal events that the object store keeps of what has not ended here; any thread."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""

    @abstractmethod
    def _records(self) -> Iterable[Record]:
        """What the ring holds of it, the oldest first."""

    @abstractmethod
    def _is_own(self, event: AnyEvent) -> bool:
        """Whether the event belongs to it."""

    @abstractmethod
    def _is_shown(self, event: AnyEvent) -> bool:
        """Whether a watcher that has missed the event gets it."""

    @abstractmethod
    def _apply(self, event: AnyEvent) -> bool:
        """Update the state; whether that is shown."""

    @abstractmethod
    def _body(self, event: AnyEvent | None) -> dict[str, Any]:
        """The body of a message with the present state."""

    def load(self, snapshot: Snapshot) -> None:
        """Begin with the snapshot."""
        self._state = snapshot
        for record in (*self._records(), *self._pending):
            if record.event is not None and self._is_own(record.event):
                self._apply(record.event)
        self._pending.clear()

    def take(self, record: Record) -> None:
        """Apply a new record, and tell the watchers."""
        if self._state is None:
            self._pending.append(record)
        elif record.event is not None and self._is_own(record.event):
            self._tell(record.event, record.number)

    def learn(self, events: Iterable[AnyEvent]) -> None:
        """Apply events that did not arrive, and tell the watchers."""
        for event in events:
            self._tell(event, None)

    def _tell(self, event: AnyEvent, number: int | None) -> None:
        if self._apply(event):
            self.changes += 1
            message = self._message(event, number, is_last=self.has_ended)
            for watcher in self.watchers:
                watcher.put(message)

    def first(self, after: str | None) -> list[Message]:
        """What a watcher gets first: everything after the position where the ring has it, else the present state.

        The snapshot may know of records that have not arrived here yet, and of which nothing will be told when they do:
        at least one message has the whole present state.
        """
        number = self._ring.number_of(after) if after is not None else None
        if number is None:
            return [self._message(None, None, is_last=self.has_ended)]
        missed = [
            (event, record.number)
            for record in self._records()
            if record.number > number and (event := record.event) and self._is_own(event) and self._is_shown(event)
        ]
        messages = [self._message(event, place, is_last=False) for event, place in missed[:-1]]
        if missed:
            event, place = missed[-1]
            messages.append(self._message(event, place, is_last=self.has_ended and event.type in LAST_TYPES))
        is_complete = bool(messages) and (messages[-1].is_last or (self.IS_WHOLE and not self.has_ended))
        if not is_complete:
            messages.append(self._message(None, None, is_last=self.has_ended))
        return messages

    def _message(self, event: AnyEvent | None, number: int | None, *, is_last: bool) -> Message:
        type_ = STATE if event is None else event.type
        return Message(self._ring.position(number, is_last=is_last), type_, self._body(event), is_last)


class JobSubject(Subject[JobState]):
    """A job."""

    def __init__(self, key: JobKey, ring: Ring) -> None:
        super().__init__(job_name(key), ring)
        self.key = key
        self._json: dict[str, Any] = {}

    async def read(self, snapshots: Snapshots) -> JobState:
        return await snapshots.job(self.key)

    def ends(self, client: Client) -> list[TerminalEvent]:
        end = client.terminal_event(self.key)
        return [] if end is None else [end]

    @property
    def state(self) -> JobState:
        """The present state, once it was loaded."""
        assert self._state is not None
        return self._state

    @property
    def has_ended(self) -> bool:
        return self.state.has_ended

    def load(self, snapshot: JobState) -> None:
        super().load(snapshot)
        self._json = snapshot.as_json()

    def _records(self) -> Iterable[Record]:
        return self._ring.of_job(self.key.job_id)

    def _is_own(self, event: AnyEvent) -> bool:
        return (event.tenant, event.job_id) == self.key

    def _apply(self, event: AnyEvent) -> bool:
        self.state.apply(event)
        before, self._json = self._json, self.state.as_json()
        return self._json != before and (self.has_ended or event.type not in TERMINAL_TYPES)

    def _body(self, event: AnyEvent | None) -> dict[str, Any]:
        # Of a purged job nothing is shown that its events say of the user.
        is_hidden = self.state.purged_ms is not None and not isinstance(event, Purged)
        return {"render": self._json, "event": None if is_hidden else event_json(event)}

    def _is_shown(self, event: AnyEvent) -> bool:
        return not isinstance(event, Conflict) and not is_superseded(event, self.state.replays)


class BatchSubject(Subject[BatchState]):
    """A batch: a message for each change of one of its jobs."""

    IS_WHOLE = False

    def __init__(self, tenant: str, batch_id: str, ring: Ring) -> None:
        super().__init__(batch_name(tenant, batch_id), ring)
        self.tenant = tenant
        self.batch_id = batch_id

    async def read(self, snapshots: Snapshots) -> BatchState:
        return await snapshots.batch(self.tenant, self.batch_id)

    def ends(self, client: Client) -> list[TerminalEvent]:
        waiting = sorted((job for job in self._jobs() if not job.has_ended), key=lambda job: job.first_ms)
        found = []
        for job in waiting[:MAX_LOOKUPS]:
            with suppress(ClientError):
                found.append(client.terminal_event(JobKey(job.tenant, job.job_id)))
        return [end for end in found if end is not None]

    @property
    def state(self) -> BatchState:
        """The present state, once it was loaded."""
        assert self._state is not None
        return self._state

    def _jobs(self) -> list[JobState]:
        return list(self.state.jobs.values())

    @property
    def has_ended(self) -> bool:
        return self.state.has_ended

    def _records(self) -> Iterable[Record]:
        return self._ring.of_batch(self.batch_id)

    def _is_own(self, event: AnyEvent) -> bool:
        return event.batch is not None and (event.tenant, event.batch.id) == (self.tenant, self.batch_id)

    def _apply(self, event: AnyEvent) -> bool:
        known = self.state.jobs.get(JobKey(event.tenant, event.job_id))
        before = None if known is None else known.as_json()
        return self.state.apply(event) and self._job(event) != before

    def _job(self, event: AnyEvent) -> dict[str, Any]:
        return self.state.jobs[JobKey(event.tenant, event.job_id)].as_json()

    def _body(self, event: AnyEvent | None) -> dict[str, Any]:
        state = self.state
        batch: dict[str, Any] = {
            "batch_id": state.batch_id,
            "total": state.total,
            "known": len(state.jobs),
            "ended": state.ended,
            "counts": state.counts,
        }
        if event is None:
            batch["renders"] = [{"job_id": job.job_id, "status": job.status} for job in state.ordered()]
            return {"batch": batch, "render": None, "event": None}
        render = self._job(event)
        is_hidden = render["purged_ms"] is not None and not isinstance(event, Purged)
        return {"batch": batch, "render": render, "event": None if is_hidden else event_json(event)}

    def _is_shown(self, event: AnyEvent) -> bool:
        return JobKey(event.tenant, event.job_id) in self.state.jobs
