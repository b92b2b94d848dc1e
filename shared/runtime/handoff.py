"""After the work: the marker that says who won, then the next stage's task, or the job's end."""

import time
from collections.abc import Mapping

import structlog
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from shared.messages import headers as message_headers
from shared.messages.events import Done, TerminalEvent
from shared.messages.outcome import done, seconds, summary_attributes
from shared.messages.pipeline import following
from shared.messages.refs import ArtifactRef
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask, StageOutput
from shared.runtime.event_publisher import EventPublisher
from shared.runtime.producers import Producers, TopicMissing
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.routing import RoundRobin
from shared.runtime.settings import RuntimeSettings
from shared.runtime.store import Store
from shared.runtime.waiting import settled
from shared.slot.spec import StageSpec
from shared.storage import frames, keys, markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused, StorageError
from shared.telemetry.ids import derived_span_id, preset_span_id
from shared.telemetry.propagation import parent, trace_id
from shared.telemetry.tracing import Tracing

log = structlog.get_logger()

LOOKS = 4
LOOK_AGAIN_S = 1.0


class EngineUnavailable(Exception):
    """The request's engine has no topic here any more: no other job waits for it."""


class Handoff:
    """Hands a finished stage's output on. Idempotent: a redelivered record does all of it again to the same effect."""

    def __init__(
        self,
        spec: StageSpec,
        settings: RuntimeSettings,
        store: Store,
        producers: Producers,
        tracing: Tracing,
        retry: RetryPolicy,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._store = store
        self._producers = producers
        self._tracing = tracing
        self._retry = retry
        self._route = RoundRobin()

    def completed(self, task: RenderTask) -> StageOutput | None:
        """The stage's output when some attempt has completed it."""
        tenant, job = task.request.tenant, task.job_id
        return self._retry(lambda: markers.read_completion(self._store.documents, tenant, job, self._spec.name))

    def ended(self, task: RenderTask) -> TerminalEvent | None:
        """How the job ended, when it has; None also when what is stored of it can't be read."""
        tenant, job = task.request.tenant, task.job_id
        try:
            return self._retry(lambda: markers.read_end(self._store.documents, tenant, job))
        except (ArtifactAltered, ArtifactRefused) as e:
            log.warning("end_unreadable", error=str(e))
            return None

    def complete(self, task: RenderTask, output: StageOutput) -> markers.Claim[StageOutput]:
        """Set the completion marker, or learn who did."""
        tenant, job = task.request.tenant, task.job_id
        return self._retry(
            lambda: markers.claim_completion(self._store.documents, tenant, job, self._spec.name, output)
        )

    def hand_on(self, task: RenderTask, publisher: EventPublisher) -> None:
        """The next stage's task is on the broker, or the job has ended, when this returns.

        ``task`` holds this stage's output. Raises DeliveryFailed, RecordRefused, EngineUnavailable, StoreUnavailable,
        OutputRefused.
        """
        step = following(self._spec.name)
        if step is None:
            self._end(task, publisher)
            return
        topic = self._settings.topic(step.source.format(engine=task.request.engine))
        value = task.dump()
        if len(value) > MAX_ENVELOPE_BYTES:
            raise ValueError(f"a task of {len(value)} bytes is over the limit of {MAX_ENVELOPE_BYTES}")
        headers = message_headers.task_headers(task, step.name, time.time_ns() // 1_000_000)
        try:
            partition = self._route.choose(topic, self._partitions(topic))
            self._producers.send_task(topic, task.job_id, value, list(headers), partition).wait()
        except TopicMissing as e:
            if "{engine}" in step.source:
                raise EngineUnavailable(
                    f"the topic of the engine {task.request.engine} can't be written to: {e}"
                ) from e
            raise  # A topic that every job needs: an operator's to repair, and no job's fault.
        settled()

    def _partitions(self, topic: str) -> int:
        """How many the topic has; asked again for one that seems missing: a broker may not know a new one yet."""
        return Retrying(
            retry=retry_if_exception_type(TopicMissing),
            stop=stop_after_attempt(LOOKS),
            wait=wait_fixed(LOOK_AGAIN_S),
            reraise=True,
        )(lambda: self._producers.partitions(topic))

    def _end(self, task: RenderTask, publisher: EventPublisher) -> None:
        files = self._delivered(task)
        event = publisher.end(
            done(
                task,
                files,
                now_ms=time.time_ns() // 1_000_000,
                attempt=publisher.attempt,
                trace_id=trace_id(),
            )
        )
        publisher.settle()
        settled()
        if isinstance(event, Done):
            try:
                self._summarise(task, event)
            except (KeyError, ValidationError) as e:  # A fact is missing: the job is done all the same.
                log.warning("render_not_summarised", error=type(e).__name__)
        self.sweep(task)

    def _delivered(self, task: RenderTask) -> Mapping[str, ArtifactRef]:
        """Video and poster where the user wants them; copied, so that the job's own stay as its record."""
        own = task.outputs[self._spec.name].artifacts
        output = task.request.output
        if output is None:
            return own
        copied: dict[str, ArtifactRef] = {}
        for role, ref in own.items():
            key = keys.output(task.request.tenant, output.prefix, task.job_id, ref.key.rpartition("/")[2])
            copied[role] = self._retry(
                lambda r=ref, k=key: self._store.artifacts.copy(r, output.bucket, k)  # type: ignore[misc]
            )
        return copied

    def _summarise(self, task: RenderTask, event: Done) -> None:
        """The `render` span: whole render, every queried attribute; its id comes from the job, so it is one span."""
        with preset_span_id(derived_span_id(task.job_id, task.request_id)):
            span = self._tracing.tracer.start_span(
                "render",
                context=parent(task.submit_traceparent),
                kind=SpanKind.INTERNAL,
                attributes={
                    **summary_attributes(task),
                    **{f"seconds.{stage}": value for stage, value in seconds(task).items()},
                    "outcome": "done",
                },
                # The broker's clock and this machine's may differ; a span of negative length is dropped on the way.
                start_time=min(task.submitted_ms, event.time_ms) * 1_000_000,
            )
        span.end(event.time_ms * 1_000_000)

    def sweep(self, task: RenderTask) -> None:
        """Delete the chunks that only this stage needed, of every attempt, when the job has ended.

        Whoever still reads them works on a record that was delivered twice, and sees that the job has ended. What fails
        here the janitor finds.
        """
        tenant, job = task.request.tenant, task.job_id
        for stage in {source.partition("/")[0] for source in self._spec.streams.values()}:
            output = task.outputs.get(stage)
            try:
                self._retry(lambda s=stage: self._store.artifacts.delete_prefix(keys.stage_prefix(tenant, job, s)))  # type: ignore[misc]
                if output is not None:
                    # Other attempts may still be writing; their entries are the janitor's.
                    frames.forget(self._store.artifacts, tenant, job, stage, output.attempt)
            except (StorageError, ValueError) as e:  # ValueError: an attempt's id that is none.
                log.warning("sweep_left_to_janitor", error=type(e).__name__)
