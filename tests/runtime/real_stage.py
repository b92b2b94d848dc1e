"""A face stage with the trial handler: processes single records with a real broker, object store and worker."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.messages.events import EVENT, AnyEvent
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.consume.assignment import Headers, PartitionAssignment, Record
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.host.processing import open_store, task_processor
from shared.runtime.kafka_config import producer_config
from shared.runtime.producers import Delivery, Producers
from shared.runtime.settings import RuntimeSettings
from shared.slot.spec import StageSpec
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, tracing
from tests.conftest import create_topics

ROOT = Path(__file__).resolve().parents[2]


class RecordingProducers(Producers):
    """The real producers; they keep a copy of every record for the test."""

    def __init__(self, traced: Any, raw: Any) -> None:
        super().__init__(traced, raw)
        self.sent: list[tuple[str, bytes]] = []
        self.events: Queue[AnyEvent] = Queue()
        self.tasks: list[bytes] = []

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        self.sent.append((topic, value or b""))
        if topic.endswith("render.events"):
            self.events.put(EVENT.validate_json(value or b""))
        return super().send(topic, key, value, headers)

    def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Delivery:
        self.tasks.append(value)
        return super().send_task(topic, key, value, headers, partition)


class CancelledJobs:
    """The ids of cancelled jobs."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()

    def has(self, _: str, job_id: str) -> bool:
        return job_id in self.jobs


@dataclass
class RealStage:
    """A stage with one slot; ``submit`` processes a record in the thread that owns the worker, as a slot does."""

    prefix: str
    scratch: Path
    spec: StageSpec = field(default_factory=lambda: spec())
    reserve_mb: int = 0
    max_attempts: int = 5
    stop: threading.Event = field(default_factory=threading.Event)
    assignment: PartitionAssignment = field(default_factory=lambda: PartitionAssignment("render.face", 0))
    cancelled: CancelledJobs = field(default_factory=CancelledJobs)

    def __post_init__(self) -> None:
        settings = RuntimeSettings(
            topic_prefix=self.prefix, free_space_reserve_mb=self.reserve_mb, max_attempts=self.max_attempts
        )
        create_topics(settings)
        self.spans = InMemorySpanExporter()
        self._tracing = tracing.setup("face", "1", self.spans)
        produce = producer_config(settings, "face")
        self.producers = RecordingProducers(
            clients.traced_producer(self._tracing, produce), clients.raw_producer(produce)
        )
        self.store = ObjectStore.open(StorageSettings())
        self.disk = DiskSpace(self.scratch, self.reserve_mb)
        self.processor = task_processor(
            self.spec,
            "group",
            settings,
            open_store(settings, self.spec.name),
            self.producers,
            self._tracing,
            self.cancelled.has,
            self.disk,
            self.stop.is_set,
        )
        self.worker = WorkerProcess(self.spec, "puppet", scratch=self.scratch)
        self._thread = ThreadPoolExecutor(1)

    def submit(self, task: RenderTask, headers: Headers = (), key: bytes | None = b"key") -> "Future[None]":
        """Start to process the task's record."""
        record = Record("render.face", 0, 0, key, task.dump(), headers, 1)

        def work() -> None:
            if self.worker.pid is None:
                self.worker.start()
            self.processor.handle(record, self.assignment, self.worker)

        return self._thread.submit(work)

    def until(self, kind: str) -> AnyEvent:
        """The next event of type ``kind``."""
        while (event := self.producers.events.get(timeout=60)).type != kind:
            pass
        return event

    def event_types(self) -> list[str]:
        """Types of the events so far, in order."""
        return [event.type for event in list(self.producers.events.queue)]

    def dead_letters(self) -> list[str]:
        return [topic for topic, _ in self.producers.sent if topic.endswith("render.dlq")]

    def close(self) -> None:
        self.stop.set()
        self._thread.submit(self.worker.stop).result(30)
        self._thread.shutdown()
        self.producers.close()
        self._tracing.shutdown()


def spec(needs: Callable[[RenderTask], int] = lambda _: 0, **fields: Any) -> StageSpec:
    """The face stage with the trial handler."""
    return StageSpec(
        name="face",
        handler="tests.runtime.trial_handler",
        inputs={},
        needs_bytes=needs,
        variables=("TRIAL_*",),
        **fields,
    )


def task(do: str, outputs: dict[str, StageOutput] | None = None, tenant: str = "default", **labels: str) -> RenderTask:
    """A task whose labels choose the behaviour of the handler."""
    ref = InputRef(key=f"{tenant}/x")
    request = RenderRequest(tenant=tenant, portrait=ref, speech=ref, labels={"do": do, **labels})
    return RenderTask(job_id=uuid.uuid4().hex, request_id="r", request=request, submitted_ms=1, outputs=outputs or {})


def artifact(store: ObjectStore, data: bytes) -> ArtifactRef:
    """An artifact of an earlier stage."""
    return store.artifacts.put_bytes(data, f"jobs/default/{uuid.uuid4().hex}/audio/1/data")
