"""What a run left behind: every record of every topic, the committed offsets, the objects and the local leftovers."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shared.messages.delivery_headers import DeliveryHeaders, read_delivery
from shared.messages.events import TERMINAL_TYPES
from shared.messages.headers import read_headers
from shared.messages.identity import request_id
from shared.messages.names import DEFAULT_TENANT
from shared.messages.pipeline import STAGES
from shared.messages.tiers import DEFAULT_TIERS, Tier
from shared.messages.topics import DLQ, EVENTS, RETRY, work_topics

Place = tuple[str, int, int]
"""Topic without the deployment's prefix, partition, offset."""
Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Rec:
    """One record; ``topic`` is without the deployment's prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The broker's: all topics have LogAppendTime."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    @property
    def job(self) -> str:
        """The job id that key or headers name; empty when none does."""
        if self.key:
            return self.key.decode(errors="replace")
        return read_headers(self.headers).job_id or ""

    @cached_property
    def delivery(self) -> DeliveryHeaders:
        return read_delivery(self.headers)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The value as a JSON object; empty for any other value."""
        try:
            body = json.loads(self.value or b"")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def header(self, name: str) -> str | None:
        """The last value of a header."""
        values = [value for key, value in self.headers if key == name]
        return values[-1].decode(errors="replace") if values and values[-1] is not None else None

    def count(self, name: str) -> int:
        return sum(key.lower() == name for key, _ in self.headers)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class Stored:
    """One object of the artifact bucket."""

    size: int
    document: Any = None
    """The value of a small JSON document; None for other objects."""


@dataclass
class History:
    """All that the checker looks at."""

    acknowledged: tuple[Place, ...]
    """The requests that the broker has confirmed to their sender."""
    records: tuple[Rec, ...] = ()
    prefix: str = ""
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """By group without the prefix, topic, partition."""
    objects: dict[str, Stored] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()
    """Temporary files and processes that outlived the services."""
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    engines: tuple[str, ...] = ("puppet",)
    max_attempts: int = 5
    foreign: frozenset[Place] = frozenset()
    """Records on internal topics that the row sent itself, whatever they name."""
    extra_starts: int = 0
    """How often a task may start beyond ``max_attempts``, because the row delivers records twice."""
    fetch: Callable[[str], bytes | None] = lambda _: None
    """Reads an object: bodies of dead letters that were too large."""

    def __post_init__(self) -> None:
        self.stages = work_topics(self.engines)

    def of(self, topic: str) -> list[Rec]:
        return [record for record in self.records if record.topic == topic]

    @cached_property
    def by_place(self) -> dict[Place, Rec]:
        return {record.place: record for record in self.records}

    def is_foreign(self, record: Rec) -> bool:
        """Whether the row sent the record to an internal topic itself, or it is a retry of such a one."""
        origin = record.delivery.origin
        first = (origin.topic.removeprefix(self.prefix), origin.partition, origin.offset) if origin else None
        return record.place in self.foreign or first in self.foreign

    @cached_property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        """The events by job of the default tenant; the job of another tenant is another one, whatever its id."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.of(EVENTS):
            job, owner = str(record.body.get("job_id")), record.body.get("tenant", DEFAULT_TENANT)
            found.setdefault(job if owner == DEFAULT_TENANT else f"{owner}/{job}", []).append(record.body)
        return found

    def ends(self, job: str) -> list[dict[str, Any]]:
        return [event for event in self.events.get(job, []) if event.get("type") in TERMINAL_TYPES]

    def replays(self, job: str) -> int:
        """How often the job was replayed."""
        found = [e.get("replays", 0) for e in self.events.get(job, []) if e.get("type") == "replayed"]
        return max(found, default=0)

    @cached_property
    def work(self) -> list[Rec]:
        """The records of the topics that stages read."""
        return [record for record in self.records if record.topic in self.stages]

    @cached_property
    def retries(self) -> list[Rec]:
        """The records of the retry topics."""
        return [record for record in self.records if record.topic.startswith(RETRY)]

    @cached_property
    def dead_letters(self) -> list[Rec]:
        return self.of(DLQ)

    @cached_property
    def dead_places(self) -> set[Place]:
        """The records that dead letters name."""
        return {place for place in map(self.original, self.dead_letters) if place is not None}

    def original(self, letter: Rec) -> Place | None:
        """The place of the record that a dead letter repeats."""
        topic, partition, offset = (letter.header(f"__dlq.errors.{n}") for n in ("topic", "partition", "offset"))
        if topic is None or partition is None or offset is None:
            return None
        return topic.removeprefix(self.prefix), int(partition), int(offset)

    def job_of(self, request: Rec) -> str:
        """The job of a request: as the record names it, else by its coordinates."""
        body_id = request.body.get("job_id")
        origin = request.delivery.origin
        topic, partition, offset = (
            (origin.topic, origin.partition, origin.offset)
            if origin
            else (self.prefix + request.topic, request.partition, request.offset)
        )
        by_place = request_id(topic, partition, offset, request.value)
        named = [name for name in (body_id, request.job) if isinstance(name, str) and name]
        return next((name for name in [*named, by_place] if name in self.events), by_place)

    @cached_property
    def jobs(self) -> dict[str, Place]:
        """The jobs of the acknowledged requests."""
        return {self.job_of(self.by_place[place]): place for place in self.acknowledged if place in self.by_place}

    def marker(self, tenant: str, job: str, stage: str) -> dict[str, Any] | None:
        stored = self.objects.get(f"jobs/{tenant}/{job}/{stage}.json")
        return stored.document if stored is not None else None


def tenant(events: Iterable[dict[str, Any]]) -> str:
    """The tenant of a job, from its events."""
    return next((str(event["tenant"]) for event in events if "tenant" in event), "default")


def following_topics(history: History, topic: str) -> set[str]:
    """The topics of the stage after the one that reads ``topic``."""
    after = STAGES.index(history.stages[topic]) + 1
    return {name for name, stage in history.stages.items() if after < len(STAGES) and stage == STAGES[after]}
