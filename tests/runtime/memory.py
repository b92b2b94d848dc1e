"""A deployment in memory for unit tests. One journal records in order what is stored, published and committed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition
from pydantic import JsonValue

from shared.messages.events import EVENT, AnyEvent
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Headers
from shared.runtime.producers import Delivered
from shared.slot import records
from shared.storage.artifacts import Listed, Tag
from shared.storage.erasing import Erased, Wanted
from shared.storage.errors import ArtifactMissing, OutputRefused
from shared.storage.inputs import InputHead
from shared.storage.settings import ARTIFACTS, StorageSettings
from shared.storage.streams import Digest

Journal = list[tuple[str, str]]
"""Steps and their subjects: ("claimed", key), ("sent", topic), ("delivered", topic), ("committed", offset)."""


@dataclass
class MemoryDocuments:
    """Documents by key."""

    journal: Journal
    values: dict[str, JsonValue] = field(default_factory=dict)

    def put_once(self, key: str, value: JsonValue) -> bool:
        if key in self.values and self.values[key] != value:
            return False
        self.values[key] = value
        self.journal.append(("claimed", key.rpartition("/")[2]))
        return True

    def put(self, key: str, value: JsonValue) -> None:
        self.values[key] = value

    def replace(self, key: str, expected: JsonValue, value: JsonValue) -> bool:
        if key not in self.values or self.values[key] != expected:
            return False
        self.put(key, value)
        return True

    def get(self, key: str) -> JsonValue | None:
        return self.values.get(key)


@dataclass
class MemoryArtifacts:
    """Objects by key; ``refused`` are aliases of output buckets that accept nothing."""

    values: dict[str, bytes] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    unchecked: Collection[str] = ()

    def put(self, path: Path, key: str, *, bucket: str = ARTIFACTS, tag: Tag | None = None) -> ArtifactRef:
        return self.put_bytes(path.read_bytes(), key, bucket=bucket)

    def put_bytes(self, data: bytes, key: str, *, bucket: str = ARTIFACTS) -> ArtifactRef:
        self.values[key] = data
        return ArtifactRef(bucket=bucket, key=key, sha256=sha256(data).hexdigest(), size=len(data))

    def get(self, ref: ArtifactRef, path: Path) -> None:
        path.write_bytes(self.get_bytes(ref, ref.size))

    def get_bytes(self, ref: ArtifactRef, max_bytes: int) -> bytes:
        if ref.key not in self.values:
            raise ArtifactMissing(f"{ref.key} does not exist")
        return self.values[ref.key][:max_bytes]

    def exists(self, ref: ArtifactRef) -> bool:
        return ref.key in self.values

    def copy(self, ref: ArtifactRef, bucket: str, key: str) -> ArtifactRef:
        if bucket in self.refused:
            raise OutputRefused(f"output bucket {bucket}: 403 AccessDenied")
        return ref.model_copy(update={"bucket": bucket, "key": key})

    def list_prefix(self, prefix: str, *, bucket: str = ARTIFACTS) -> Iterator[Listed]:
        found = sorted(key for key in self.values if key.startswith(prefix))
        return (Listed(key, len(self.values[key]), datetime.now(UTC)) for key in found)

    def delete(self, keys: Iterable[str], *, bucket: str = ARTIFACTS) -> int:
        return sum(self.values.pop(key, None) is not None for key in keys)

    def delete_prefix(self, prefix: str) -> int:
        return self.delete([key for key in self.values if key.startswith(prefix)])

    def erase(self, prefix: str, *, bucket: str = ARTIFACTS, wanted: Wanted | None = None) -> Erased:
        found = [key for key in self.values if key.startswith(prefix) and (wanted is None or wanted(key))]
        return Erased({key: len(self.values.pop(key)) for key in found})


class MemoryInputs:
    """Every input is there, and holds one byte."""

    def head(self, ref: InputRef, tenant: str) -> InputHead:
        return InputHead(1, "etag")

    def get(self, ref: InputRef, path: Path, max_bytes: int, *, tenant: str) -> Digest:
        path.write_bytes(b"x")
        return Digest(sha256(b"x").hexdigest(), 1)


class NoCache:
    """A cache in which every lookup is a miss."""

    def digest(
        self, tenant: str, stage: str, version: str, inputs: Mapping[str, str], parameters: Mapping[str, JsonValue]
    ) -> str:
        return "digest"

    def lookup(self, tenant: str, stage: str, digest: str) -> StageOutput | None:
        return None

    def forget(self, tenant: str, ref: ArtifactRef) -> None: ...
    def store(self, tenant: str, stage: str, digest: str, output: StageOutput) -> None: ...


class MemoryStorage:
    """All of them."""

    def __init__(self, journal: Journal) -> None:
        self.settings = StorageSettings(output_buckets={"films": "films"})
        self.documents = MemoryDocuments(journal)
        self.artifacts = MemoryArtifacts()
        self.inputs = MemoryInputs()
        self.cache = NoCache()


@dataclass(eq=False)
class MemoryDelivery:
    """A delivery that is completed by ``wait``."""

    journal: Journal
    topic: str
    error: Exception | None = None

    @property
    def refused(self) -> Exception | None:
        """What the broker reported."""
        return self.error

    def wait(self) -> Delivered:
        if self.error is not None:
            raise self.error
        self.journal.append(("delivered", self.topic))
        return Delivered(0, 0, 0)


@dataclass
class MemoryProducers:
    """Records by topic; ``errors`` are the broker's errors by topic."""

    journal: Journal
    records: list[tuple[str, bytes | None, Headers]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    clock: BrokerClock = field(default_factory=BrokerClock)

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Any:
        self.records.append((topic, value, headers))
        self.journal.append(("sent", topic))
        return MemoryDelivery(self.journal, topic, self.errors.get(topic))

    def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Any:
        return self.send(topic, key.encode(), value, headers)

    def partitions(self, topic: str) -> int:
        return 1

    def events(self) -> list[AnyEvent]:
        return [EVENT.validate_json(value or b"") for topic, value, _ in self.records if topic == "render.events"]

    def tasks(self, topic: str) -> list[RenderTask]:
        return [RenderTask.parse(value or b"") for sent, value, _ in self.records if sent == topic]

    def retries(self) -> list[tuple[str, bytes | None, Headers]]:
        return [record for record in self.records if record[0].startswith("render.retry.")]

    def dead_letters(self) -> list[dict[str, bytes | None]]:
        return [dict(headers) for topic, _, headers in self.records if topic == "render.dlq"]


class ScriptedWorker:
    """Answers every task with ``answer``, which may raise. ``starts`` is the number of starts left."""

    def __init__(self, answer: Callable[[records.Work], records.WorkResult], starts: int = 100) -> None:
        self.answer = answer
        self.starts = starts
        self.runs = 0
        self.pid: int | None = 1
        self.folder = None

    def start(self, variables: Mapping[str, str] | None = None) -> float:
        self.starts -= 1
        self.pid = 1
        return 0.0

    def prepare(self, tenant: str) -> None:
        if self.pid is None:
            self.start()

    def send(self, message: records.ToWorker) -> None: ...

    def run(self, work: records.Work, *_: object) -> records.WorkResult:
        self.runs += 1
        return self.answer(work)

    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Message:
    """A Kafka message of the topic "t"."""

    def __init__(self, offset: int, value: bytes, key: bytes = b"job") -> None:
        self._offset, self._value, self._key = offset, value, key

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None: ...
    def error(self) -> None: ...

    def timestamp(self) -> tuple[int, int]:
        return 1, 1


class MemoryConsumer:
    """Delivers the messages, then waits for the commit of all, then calls ``finished``."""

    def __init__(self, journal: Journal, messages: Sequence[Message], finished: Callable[[], None]) -> None:
        self.journal = journal
        self._messages = list(messages)
        self._last = messages[-1].offset() + 1
        self._finished = finished

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        on_assign(self, [TopicPartition("t", 0)])

    def poll(self, timeout: float) -> Message | None:
        return self._messages.pop(0) if self._messages else None

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        for offset in offsets:
            self.journal.append(("committed", str(offset.offset)))
            if offset.offset == self._last:
                self._finished()
        return offsets

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, 0) for p in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, *, timeout: float) -> tuple[int, int]:
        return 0, self._last

    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def close(self) -> None: ...


def finished(
    metadata: Mapping[str, JsonValue] | None = None, **files: bytes
) -> Callable[[records.Work], records.Finished]:
    """A handler that writes these files."""

    def answer(work: records.Work) -> records.Finished:
        for name, data in files.items():
            (Path(work.scratch) / name).write_bytes(data)
        paths = {name: str(Path(work.scratch) / name) for name in files}
        return records.Finished(files=paths, metadata=dict(metadata or {}))

    return answer
