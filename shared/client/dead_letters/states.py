"""The state of every dead letter: what was done with it, from ``render.replays``, and how its job went on, from events.

The tables hold one small integer or tuple for each dead letter that was touched.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from shared.client import event_log, topic_log
from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.dead_letter import DeadLetter, packed, parse_id, unpacked
from shared.client.errors import InvalidRequest
from shared.messages.dead_letter_state import AUDIT, DeadLetterRun, DeadLetterState
from shared.messages.topics import REPLAYS

RUNNING, DONE, FAILED, REJECTED, CANCELLED, EXPIRED, PURGED = range(1, 8)
ENDS = ("running", "done", "failed", "rejected", "cancelled", "expired", "purged")
"""How a replay went on, by the numbers above."""
FINAL = frozenset({DONE, PURGED})
"""No later event changes these."""
_BITS = 4
_KINDS = {"done": DONE, "rejected": REJECTED, "purged": PURGED, "replayed": RUNNING, "failed": FAILED}
_CE_TYPES = {f"lipstage.event.{kind}.v1".encode(): kind for kind in _KINDS}
_FAILED = {"CANCELLED": CANCELLED, "EXPIRED": EXPIRED}


class Entry(NamedTuple):
    """What was last done with a dead letter."""

    state: str
    dead_letter_ms: int
    replays: int
    job: int
    """Hash of the job, see ``job_hash``; 0 where it is unknown."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of one dead letter."""

    name: str
    """new, replayed, parked or discarded."""
    end: str = ""
    """How the replay went on: one of ``ENDS``; empty unless it was replayed."""

    def __str__(self) -> str:
        return f"{self.name}:{self.end}" if self.end else self.name


def job_hash(tenant: str, job_id: str) -> int:
    """64 bits that stand for a job within this process."""
    return hash((tenant, job_id))


class Ledger:
    """The states of all dead letters that were touched, as they are on the topic when this is made."""

    def __init__(self, connection: Connection) -> None:
        """Read the topic. Raises BrokerUnreachable, TopicMissing."""
        self.entries: dict[int, Entry] = {}
        self.unfinished: dict[str, DeadLetterRun] = {}
        """Runs without an end: they still run, or were killed."""
        self.first_replay_ms = 0
        for key, value in _records(connection):
            if key.startswith(AUDIT):
                self._run(key, value)
            else:
                self._entry(key, value)

    def _run(self, key: str, value: bytes | None) -> None:
        self.unfinished.pop(key, None)
        try:
            run = DeadLetterRun.model_validate_json(value or b"")
        except ValidationError:
            return
        if run.finished_ms is None:
            self.unfinished[key] = run

    def _entry(self, key: str, value: bytes | None) -> None:
        try:
            place = packed(*parse_id(key))
        except InvalidRequest:
            return
        self.entries.pop(place, None)
        try:
            state = DeadLetterState.model_validate_json(value or b"")
        except ValidationError:  # Also a tombstone: the dead letter is new again.
            return
        job = job_hash(state.tenant, state.job_id) if state.job_id else 0
        self.entries[place] = Entry(state.state, state.dead_letter_ms, state.replays, job)
        if state.state == "replayed":
            self.first_replay_ms = min(self.first_replay_ms or state.at_ms, state.at_ms)

    def entry(self, dead: DeadLetter) -> Entry | None:
        """What was done with this dead letter; None for a new one."""
        entry = self.entries.get(dead.packed_id)
        return entry if entry is not None and entry.dead_letter_ms == dead.timestamp_ms else None

    def expired(self, parts: Mapping[int, tuple[int, int]]) -> list[str]:
        """Keys of states whose dead letters the topic's retention has deleted; ``parts``: its offsets by partition."""
        keys = []
        for place in self.entries:
            partition, offset = unpacked(place)
            if partition in parts and offset < parts[partition][0]:
                keys.append(f"{partition}:{offset}")
        return keys

    @property
    def replayed_jobs(self) -> set[int]:
        """The jobs with a replayed dead letter."""
        return {entry.job for entry in self.entries.values() if entry.state == "replayed" and entry.job}


def _records(connection: Connection) -> Iterator[tuple[str, bytes | None]]:
    topic = connection.topic(REPLAYS)
    for message in scan.records(connection, topic, scan.ranges(connection, topic)):
        yield (topic_log.key_of(message) or b"").decode(errors="replace"), topic_log.value_of(message)


def read_state(connection: Connection, dead: DeadLetter) -> DeadLetterState | None:
    """The whole record of what was last done with one dead letter. Raises BrokerUnreachable, TopicMissing."""
    found: DeadLetterState | None = None
    for key, value in _records(connection):
        if key == dead.id:
            try:
                found = DeadLetterState.model_validate_json(value or b"")
            except ValidationError:
                found = None
    return found if found is not None and found.dead_letter_ms == dead.timestamp_ms else None


class Jobs:
    """How jobs went on, by their hashes: the newest end of each, and the number of its replays."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def apply(self, job: int, kind: int, replays: int) -> None:
        """Note an event, in whatever order events arrive.

        Terminal events of an earlier replay do not count; ``done`` and ``purged`` are final.
        """
        known = self._known.get(job, 0)
        if known & (1 << _BITS) - 1 in FINAL and kind not in FINAL:
            return
        later = replays > known >> _BITS or (replays == known >> _BITS and kind != RUNNING)
        if known == 0 or later or kind in FINAL:
            self._known[job] = max(replays, known >> _BITS) << _BITS | kind

    def end(self, job: int) -> int:
        """RUNNING, DONE, ...; 0 when nothing is known."""
        return self._known.get(job, 0) & (1 << _BITS) - 1

    def replays(self, job: int) -> int:
        """The highest replay count that an event of the job names."""
        return self._known.get(job, 0) >> _BITS


def read_jobs(connection: Connection, jobs: Collection[int], since_ms: int) -> Jobs:
    """How these jobs went on, from the events since then (milliseconds since the epoch).

    Raises BrokerUnreachable, TopicMissing.
    """
    known = Jobs()
    if not jobs:
        return known
    for source in event_log.sources(connection):
        topic = event_log.topic(connection, source)
        for message in scan.records(connection, topic, scan.ranges(connection, topic, since_ms)):
            event = _event(message)
            if event is not None:
                job, kind, replays = event
                if job in jobs:
                    known.apply(job, kind, replays)
    return known


def _event(message: Any) -> tuple[int, int, int] | None:
    """Job, kind and replay count of an event that matters here; most others are ruled out by their type, unparsed."""
    kind = next((value for name, value in scan.headers_of(message) if name == "ce_type"), None)
    if kind is not None and kind not in _CE_TYPES:
        return None
    try:
        body = json.loads(topic_log.value_of(message) or b"")
        job, kind_number = job_hash(body["tenant"], body["job_id"]), _KINDS.get(body["type"])
        if kind_number is None:
            return None
        if kind_number == FAILED:
            kind_number = _FAILED.get(body["code"], FAILED)
        return job, kind_number, int(body.get("replays") or 0)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class States:
    """The states of all dead letters at one moment."""

    ledger: Ledger
    jobs: Jobs

    def of(self, dead: DeadLetter) -> State:
        """The state of a dead letter."""
        entry = self.ledger.entry(dead)
        if entry is None:
            return State("new")
        return State(entry.state, self._end(entry) if entry.state == "replayed" else "")

    def _end(self, entry: Entry) -> str:
        """How a replay went on: an end counts if its event is of this replay or a later one."""
        end = self.jobs.end(entry.job)
        ended = end in FINAL or (end and self.jobs.replays(entry.job) >= entry.replays)
        return ENDS[end - 1] if ended else ENDS[RUNNING - 1]


def read_states(connection: Connection, ledger: Ledger, jobs: Collection[int] = (), since_ms: int = 0) -> States:
    """The states of what ``ledger`` holds; also how ``jobs`` (hashes) went on, from events since ``since_ms`` on.

    Raises BrokerUnreachable, TopicMissing.
    """
    wanted = ledger.replayed_jobs | set(jobs)
    starts = [ms for ms in (since_ms, ledger.first_replay_ms) if ms]
    return States(ledger, read_jobs(connection, wanted, min(starts, default=0)))
