"""Notifies the following stage of stored chunks, so that it can start early: see docs/delivery.md."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from shared.messages.chunk_notice import ChunkNotice
from shared.messages.chunks import FrameCodec
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.runtime.failures import DeliveryFailed
from shared.runtime.producers import Delivery, EventProducer
from shared.storage.manifest import Chunk
from shared.telemetry.propagation import inject

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a task goes: topic, with the deployment's prefix, and partition."""

    topic: str
    partition: int


class ChunkNotices:
    """The notices of one attempt. No failure of a notice concerns the attempt: the following stage starts later.

    ``stored`` is called by one thread at a time.
    """

    def __init__(
        self,
        stage: str,
        task: RenderTask,
        attempt: str,
        topic: str,
        producer: EventProducer,
        route: Callable[[RenderTask], Destination],
    ) -> None:
        """``topic`` takes the notices; ``route`` chooses the place of the following stage's task."""
        self._stage = stage
        self._task = task
        self._attempt = attempt
        self._topic = topic
        self._producer = producer
        self._route = route
        self._started = time.monotonic()
        self._remaining_s: float | None = None
        self._first: Delivery | None = None
        self._silent = False
        self.destination: Destination | None = None
        """The place that the notices name for the following stage's task; None when none was sent."""

    def progress(self, done: int, total: int) -> None:
        """Note the progress of the attempt, of which ``remaining_s`` is computed."""
        if done > 0:
            elapsed_s = time.monotonic() - self._started
            self._remaining_s = round(elapsed_s * max(0, total - done) / done, 3)

    def stored(self, role: str, index: int, chunk: Chunk, codec: FrameCodec) -> None:
        """Send the notice of a stored chunk, without waiting for its delivery. Never raises."""
        if self._silent:
            return
        try:
            self._send(role, index, chunk, codec)
        except Exception as e:  # noqa: BLE001 - the render must not fail with its notices
            self._silent = True
            log.warning("chunk_notices_not_sent", error=type(e).__name__, text=str(e))

    def _send(self, role: str, index: int, chunk: Chunk, codec: FrameCodec) -> None:
        refused = self._first.refused if self._first is not None else None
        if refused is not None:
            raise refused
        self.destination = self.destination or self._route(self._task)
        notice = ChunkNotice(
            tenant=self._task.request.tenant,
            job_id=self._task.job_id,
            stage=self._stage,
            attempt=self._attempt,
            role=role,
            index=index,
            ref=chunk.ref,
            frames=chunk.frames,
            codec=codec,
            remaining_s=self._remaining_s,
            topic=self.destination.topic,
            partition=self.destination.partition,
            task=self._task if index == 0 else None,
        )
        value = notice.model_dump_json(exclude_none=True).encode()
        if len(value) > MAX_ENVELOPE_BYTES:
            raise DeliveryFailed(f"a notice of {len(value)} bytes is over the limit of {MAX_ENVELOPE_BYTES}")
        headers = [*notice.headers(time.time_ns() // 1_000_000), *inject()]
        delivery = self._producer.send(self._topic, notice.job_id.encode(), value, headers)
        self._first = self._first or delivery
