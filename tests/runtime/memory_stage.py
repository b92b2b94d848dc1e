"""One stage on in-memory parts: its processor, a scripted worker, and what it has published."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.messages.delivery_headers import RETRY_CODE, RETRY_TOPIC, without
from shared.messages.metadata import AudioMetadata, EncodeMetadata
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.messages.tenant_signature import SigningKey
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.host.processing import task_processor
from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_check import TenantCheck
from shared.slot.spec import StageSpec
from shared.storage import markers
from shared.telemetry import tracing
from tests.runtime.memory import (
    Journal,
    MemoryProducers,
    MemoryStorage,
    ScriptedWorker,
    finished,
)

FACE = StageSpec(name="face", handler="unused", inputs={})
ENCODE = StageSpec(name="encode", handler="unused", inputs={})
FRONT = StageSpec(name="audio", handler="unused", inputs={})
AUDIO = AudioMetadata(codec="pcm", sample_rate=48_000, channels=1, duration_s=1.0, sound_channels=1)
ENCODED = EncodeMetadata(duration_s=1.0, width=8, height=8, fps=25, frames=25, container_drift_ms=0.0, bytes=1)


class MemoryStage:
    """A stage in memory."""

    def __init__(
        self,
        spec: StageSpec,
        scratch: Path,
        *,
        lanes: bool = True,
        keys: Sequence[SigningKey] = (),
        **settings: Any,
    ) -> None:
        self.settings = RuntimeSettings(free_space_reserve_mb=0, **settings)
        self.journal: Journal = []
        self.store = MemoryStorage(self.journal)
        self.producers = MemoryProducers(self.journal)
        self.cancelled: set[str] = set()
        self.assignment = PartitionAssignment("t", 0)
        self.worker = ScriptedWorker(finished(image=b"i"))
        self.breaker = CircuitBreaker(spec.name)
        self.job = uuid.uuid4().hex
        self.processor = task_processor(
            spec,
            "group",
            self.settings,
            self.store,
            self.producers,  # type: ignore[arg-type]
            tracing.setup("test", "0"),
            lambda _, job: job in self.cancelled,
            DiskSpace(scratch, 0),
            lambda: False,
            self.breaker,
            lanes=lanes,
            tenants=TenantCheck(self.settings, keys),
        )

    def task(self, **fields: Any) -> RenderTask:
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref, **fields)
        return RenderTask(job_id=self.job, request_id="r", request=request, submitted_ms=1)

    def claim_request(self) -> None:
        """As the front did when it accepted the job."""
        request = markers.RequestRecord(request_id="r", body_sha256="0" * 64)
        markers.claim_request(self.store.documents, "default", self.job, request)

    def handle(
        self,
        value: bytes,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        crashes: int = 0,
        offset: int = 7,
    ) -> None:
        record = Record("t", 0, offset, self.job.encode(), value, headers or [], 1, crashes=crashes)
        self.processor.handle(record, self.assignment, self.worker)

    def deliver_again(self) -> list[str]:
        """Handle the records on retry topics, as the relay sends them back, until none is left; the topics in
        order."""
        topics = []
        while retries := self.producers.retries():
            topic, value, headers = retries[0]
            self.producers.records.remove(retries[0])
            self.handle(value or b"", without(headers, (RETRY_TOPIC, RETRY_CODE)))
            topics.append(topic)
        return topics

    def types(self) -> list[str]:
        return [event.type for event in self.producers.events()]

    def end(self) -> Any:
        (terminal,) = [event for event in self.producers.events() if event.type in ("done", "rejected", "failed")]
        return terminal


def last_task(rig: MemoryStage, **fields: Any) -> bytes:
    """A task of the last stage."""
    output = StageOutput(attempt="1", metadata=AUDIO.model_dump(mode="json"))
    return rig.task(**fields).with_output("audio", output).dump()
