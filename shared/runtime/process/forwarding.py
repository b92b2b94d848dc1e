"""Publishes the next stage's task; after the last stage, copies the finished files to the user's output bucket.

Idempotent: a redelivered record repeats all of it with the same effect.
"""

import time
from collections.abc import Mapping

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from shared.messages import headers as message_headers
from shared.messages.delivery_headers import first_attempt
from shared.messages.events import Done
from shared.messages.lanes import INTERACTIVE, Lane
from shared.messages.outcome import done
from shared.messages.pipeline import following
from shared.messages.refs import ArtifactRef
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.runtime.consume.assignment import Headers
from shared.runtime.disposition import JobContext
from shared.runtime.execute.chunk_notices import Destination
from shared.runtime.execute.preview import ROLE as PREVIEW_ROLE
from shared.runtime.failures import EngineUnavailable, TopicMissing
from shared.runtime.process.routing import RoundRobin, Router
from shared.runtime.producers import TaskProducer
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.accounting import owner_hash
from shared.storage import keys, previews
from shared.storage.protocols import Storage
from shared.telemetry.propagation import sampled, trace_id

log = structlog.get_logger()

METADATA_ATTEMPTS = 4
METADATA_RETRY_S = 1.0


class Forwarder:
    """Forwards the tasks of one stage. Shared by its slots."""

    def __init__(
        self,
        stage: str,
        settings: RuntimeSettings,
        store: Storage,
        producers: TaskProducer,
        router: Router | None = None,
        *,
        lanes: bool = True,
    ) -> None:
        """``router`` chooses the partitions of tasks; the default is round-robin. Without ``lanes`` every task goes on
        in the interactive lane."""
        self._stage = stage
        self._settings = settings
        self._store = store
        self._producers = producers
        self._route = router or RoundRobin()
        self._lanes = lanes

    def route(self, task: RenderTask, lane: Lane | None = None) -> Destination:
        """The place of the next stage's task, in its own lane by default. Raises TopicMissing, DeliveryFailed."""
        own = task.effective_lane if self._lanes else INTERACTIVE
        topic = self._topic(task, lane or own)
        return Destination(topic, self._route.choose(topic, self._partitions(topic)))

    def forward(self, task: RenderTask, job: JobContext, destination: Destination | None = None) -> Done | None:
        """Publish the task, which holds this stage's output, to the next stage; on return the broker has it.

        ``destination`` is the place that was announced for it; by default the router chooses one.

        After the last stage, copy the finished files to the user's output bucket and return the event that ends the
        job. ``job`` is at the attempt that made them. Raises DeliveryFailed, RecordRefused,
        EngineUnavailable, StoreUnavailable, OutputRefused, ArtifactMissing.
        """
        step = following(self._stage)
        if step is None:
            files = self._deliver(task)
            now_ms = time.time_ns() // 1_000_000
            return done(
                task,
                files,
                stage=self._stage,
                now_ms=now_ms,
                attempt=job.attempt,
                trace_id=trace_id(),
                sampled=sampled(),
            ).model_copy(update={"replays": job.replays, "owner_hash": owner_hash(task.request)})
        value = task.dump()
        if len(value) > MAX_ENVELOPE_BYTES:
            raise ValueError(f"a task of {len(value)} bytes is over the limit of {MAX_ENVELOPE_BYTES}")
        headers = [
            *message_headers.task_headers(task, step.name, time.time_ns() // 1_000_000),
            *first_attempt(job.replays),
        ]
        try:
            self._send(task, value, headers, destination)
        except TopicMissing as e:
            if step.per_engine:
                raise EngineUnavailable(
                    f"the topic of the engine {task.request.engine} can't be written to: {e}"
                ) from e
            raise  # Every job needs this topic: an operator must repair it, and no job is at fault.
        return None

    def _send(self, task: RenderTask, value: bytes, headers: Headers, destination: Destination | None) -> None:
        """Send the task, in the interactive lane where its bulk topic is missing: it only waits its turn there. Raises
        TopicMissing, RecordRefused, DeliveryFailed."""
        try:
            place = destination or self.route(task)
            self._producers.send_task(place.topic, task.job_id, value, headers, place.partition).wait()
        except TopicMissing as e:
            if task.effective_lane == INTERACTIVE:
                raise
            log.warning("bulk_topic_missing", reason=str(e))
            place = self.route(task, INTERACTIVE)
            self._producers.send_task(place.topic, task.job_id, value, headers, place.partition).wait()

    def _topic(self, task: RenderTask, lane: Lane) -> str:
        """The topic of the next stage in a lane. Raises KeyError after the last."""
        step = following(self._stage)
        if step is None:
            raise KeyError(self._stage)
        return self._settings.topic(step.topic(task.request.engine, lane))

    def _partitions(self, topic: str) -> int:
        """Number of partitions of the topic; retried for a missing topic, because a broker may not know a new one
        yet."""
        return Retrying(
            retry=retry_if_exception_type(TopicMissing),
            stop=stop_after_attempt(METADATA_ATTEMPTS),
            wait=wait_fixed(METADATA_RETRY_S),
            reraise=True,
        )(lambda: self._producers.partitions(topic))

    def _deliver(self, task: RenderTask) -> Mapping[str, ArtifactRef]:
        """References of video and poster: in the user's output bucket where the request names one. They are copied, so
        that the job keeps its own."""
        artifacts = task.outputs[self._stage].artifacts
        output = task.request.output
        if output is None:
            return artifacts
        copied: dict[str, ArtifactRef] = {}
        for role, ref in artifacts.items():
            key = keys.output(task.request.tenant, output.prefix, task.job_id, ref.key.rpartition("/")[2])
            copied[role] = self._store.artifacts.copy(ref, output.bucket, key)
        if output.preview:
            winner = task.outputs[self._stage].attempt if PREVIEW_ROLE in artifacts else None
            with best_effort():  # Of attempts that were killed.
                previews.delete(self._store.artifacts, task.request, task.job_id, keep=winner)
        return copied
