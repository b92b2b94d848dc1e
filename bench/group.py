"""A topic, a consumer group and its members as processes: what benchmarks and tests of groups share."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.member import Options
from shared.runtime.kafka_config import UNLOGGED, Protocol

PARTITION_UA = -1
"""librdkafka's "unassigned": the key's hash chooses."""
WAIT_S = 90.0
"""Limit of each wait, seconds: generous, because the machine may be busy."""
Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class Event:
    """What a member has written."""

    member: str
    name: str
    at: float
    """Monotonic clock, seconds."""
    fields: Mapping[str, Any]

    @property
    def place(self) -> Place:
        """The record of ``start``, ``end`` and ``discarded``."""
        return self.fields["partition"], self.fields["offset"]


@dataclass
class Member:
    """A running member. Its events are those of its group."""

    name: str
    process: "subprocess.Popen[str]"
    thread: threading.Thread

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def terminate(self) -> int:
        """Ask the member to drain and leave; returns its exit status."""
        self.process.terminate()
        return self.join()

    def join(self) -> int:
        status = self.process.wait(WAIT_S)
        self.thread.join(WAIT_S)
        return status


@dataclass
class Group:
    """One topic and the group that consumes it."""

    bootstrap_servers: str
    protocol: Protocol
    partitions: int = 8
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of every member, beside this process's own."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Further properties of every member's consumer."""

    def __post_init__(self) -> None:
        self.topic = f"group-{uuid.uuid4().hex[:8]}"
        self.name = f"members-{self.topic}"
        self.output = f"{self.topic}-out"
        self.events: list[Event] = []
        self.members: list[Member] = []
        self._news = threading.Condition()
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, **UNLOGGED})
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "linger.ms": 0,
                "partitioner": "murmur2_random",
                **UNLOGGED,
            }
        )
        new = [NewTopic(self.topic, self.partitions, 1), NewTopic(self.output, 1, 1)]
        for future in self._admin.create_topics(new).values():
            future.result(WAIT_S)

    def member(self, properties: Mapping[str, str] | None = None, **options: Any) -> Member:
        """Start a member; ``options`` are those of `bench.member.Options`."""
        name = f"m{len(self.members)}"
        every = tuple({**self.properties, **(properties or {})}.items())
        chosen = Options(self.topic, self.name, self.protocol, os.getpid(), properties=every, **options)
        environment = {**os.environ, **self.environment, "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers}
        command = [sys.executable, "-m", "bench.member", json.dumps(asdict(chosen))]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        thread = threading.Thread(target=self._read, args=(name, process), daemon=True)
        thread.start()
        self.members.append(Member(name, process, thread))
        return self.members[-1]

    def kill(self, member: Member) -> float:
        """SIGKILL a member; returns when, seconds of the monotonic clock."""
        killed_at = time.monotonic()
        member.process.kill()
        member.join()
        self._append(Event(member.name, "closed", killed_at, {}))
        return killed_at

    def _append(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def _read(self, name: str, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            fields = json.loads(line)
            self._append(Event(name, fields.pop("event"), fields.pop("at"), fields))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the events meet ``condition``. Raises AssertionError after ``WAIT_S``."""
        with self._news:
            if not self._news.wait_for(condition, WAIT_S):
                raise AssertionError(f"not seen within {WAIT_S:.0f} s: {what}; events: {self.events[-20:]}")

    def send(self, seconds: float, partitions: Iterable[int]) -> list[Place]:
        """Send one task that sleeps ``seconds`` to each of ``partitions``, which may repeat; on return the broker has
        them. Returns their places."""
        return self.send_each(seconds, [(None, partition) for partition in partitions])

    def send_each(self, seconds: float, targets: Iterable[tuple[bytes | None, int | None]]) -> list[Place]:
        """As ``send``, for keys and partitions; without a partition the key's hash chooses it."""
        places: list[Place] = []
        for key, partition in targets:
            self._producer.produce(
                self.topic,
                json.dumps(seconds).encode(),
                key,
                PARTITION_UA if partition is None else partition,
                on_delivery=lambda _, message: places.append((message.partition() or 0, message.offset() or 0)),
            )
        if self._producer.flush(WAIT_S):
            raise AssertionError("the broker has not accepted the tasks")
        return places

    def of(self, name: str) -> list[Event]:
        """The events of this name, in the order in which they were read."""
        return [event for event in list(self.events) if event.name == name]

    def ended(self) -> set[Place]:
        """Records that a member has finished while it held their partition."""
        return {event.place for event in self.of("end")}

    def starts(self) -> Counter[Place]:
        """How often each record was started."""
        return Counter(event.place for event in self.of("start"))

    def wait_for_end(self, places: Iterable[Place]) -> None:
        """Wait until every record has been finished. Raises AssertionError: some are lost."""
        expected = set(places)
        self.wait(lambda: expected <= self.ended(), f"the end of {len(expected)} records")

    def assigned(self) -> dict[str, set[int]]:
        """Partitions of each member that has any, by its own callbacks."""
        owned: dict[str, set[int]] = {}
        for event in list(self.events):
            if event.name == "assigned":
                owned.setdefault(event.member, set()).update(event.fields["partitions"])
            elif event.name in ("revoked", "lost"):
                owned.setdefault(event.member, set()).difference_update(event.fields["partitions"])
            elif event.name == "closed":
                owned.pop(event.member, None)
        return {member: partitions for member, partitions in owned.items() if partitions}

    def wait_for_assignment(self, members: int) -> None:
        """Wait until ``members`` members hold all partitions, each at least one."""
        complete = set(range(self.partitions))

        def balanced() -> bool:
            owned = self.assigned()
            return len(owned) == members and set.union(*owned.values()) == complete

        self.wait(balanced, f"{members} members with {self.partitions} partitions: {self.assigned()}")

    def committed(self) -> dict[int, int]:
        """Committed offset of each partition; -1001 without one."""
        query = [
            ConsumerGroupTopicPartitions(self.name, [TopicPartition(self.topic, p) for p in range(self.partitions)])
        ]
        answer = self._admin.list_consumer_group_offsets(query)[self.name].result(WAIT_S)
        return {p.partition: p.offset for p in answer.topic_partitions}

    def published(self) -> int:
        """Number of records in the output topic."""
        query = {TopicPartition(self.output, 0): OffsetSpec.latest()}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(query, isolation_level=IsolationLevel.READ_COMMITTED)
        return sum(int(answer.result(WAIT_S).offset) for answer in answers.values())

    def close(self) -> None:
        """Kill what still runs."""
        for member in self.members:
            if member.process.poll() is None:
                member.send_signal(signal.SIGKILL)
                member.join()


@contextmanager
def group(*arguments: Any, **options: Any) -> Iterator[Group]:
    """A `Group` that is closed at the end."""
    made = Group(*arguments, **options)
    try:
        yield made
    finally:
        made.close()
