"""One stage as a service: constructs and connects its parts."""

import importlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import cast

from shared.messages.pipeline import FIRST, following, step
from shared.messages.topics import CANCEL
from shared.runtime.attempt_policy import AttemptPolicy
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.consume.assignment import Completions
from shared.runtime.consume.cancellations import Cancellations
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.consume.oldest_records import READER, OldestRecords
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.execute.scratch import DiskSpace, Scratch
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.execute.worker_telemetry import log_record
from shared.runtime.host.health import NOT_READY
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import consumer_config, group_protocol, reader_config
from shared.runtime.process.admission import RequestDecoder
from shared.runtime.process.deadlines import Deadlines
from shared.runtime.process.decoding import Decoder, TaskDecoder
from shared.runtime.process.forwarding import Forwarder
from shared.runtime.process.least_loaded import open_router
from shared.runtime.process.processor import TaskProcessor
from shared.runtime.process.record_work import RecordWork
from shared.runtime.process.routing import Router
from shared.runtime.process.task_attempts import TaskAttempts
from shared.runtime.producers import Producers
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle import render_metrics
from shared.runtime.settle.cleanup import Cleanup
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.janitor import Janitor
from shared.runtime.settle.render_summary import RenderSummary
from shared.runtime.settle.settlement import Settlement
from shared.slot.spec import StageSpec
from shared.storage.object_store import ObjectStore
from shared.storage.protocols import Storage
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, metrics
from shared.telemetry.tracing import Tracing

LOOP_SILENT_S = 30.0
"""A consumer loop that has not polled for this time hangs, seconds; a revocation's barrier updates the heartbeat."""
BARRIER_SHARE = 0.5
"""Share of max.poll.interval.ms that a revocation may wait for running tasks."""
TASK_GRACE_S = 300.0
"""Time for a task's downloads and uploads, beside its worker's deadline and waits for the object store, seconds."""
READY_POLL_S = 0.02


def task_processor(
    spec: StageSpec,
    group: str,
    settings: RuntimeSettings,
    store: Storage,
    producers: Producers,
    tracing: Tracing,
    cancelled: Callable[[str, str], bool],
    disk: DiskSpace,
    stopping: Callable[[], bool],
    breaker: CircuitBreaker | None = None,
    router: Router | None = None,
) -> TaskProcessor:
    """The processor of a stage's records, with its decoder, forwarder, event publisher and settlement."""
    render_metrics.prepare(spec.name, settings)
    breaker = breaker or CircuitBreaker(spec.name)
    events = EventPublisher(spec.name, settings.topic_prefix, producers, store.documents)
    decoder: Decoder = TaskDecoder(store.documents)
    if spec.name == FIRST:
        decoder = RequestDecoder(settings, store, events, cancelled)
    cleanup = Cleanup(spec, store)
    settlement = Settlement(
        spec.name,
        group,
        settings.topic_prefix,
        producers,
        events,
        cleanup,
        RenderSummary(tracing.tracer),
        store.artifacts,
    )
    forwarder = Forwarder(spec.name, settings, store, producers, router)
    deadlines = Deadlines(producers.clock)
    attempts = TaskAttempts(spec, settings, store, events, tracing.tracer, cancelled, deadlines, disk)
    policy = AttemptPolicy(settings.tiers, settings.max_attempts, breaker)
    work = RecordWork(spec.name, settings, decoder, store, events, attempts, forwarder, policy, cancelled, deadlines)
    return TaskProcessor(
        spec.name,
        group,
        settings.max_crashes,
        decoder,
        events,
        work,
        settlement,
        breaker,
        tracing.tracer,
        deadlines,
        stopping,
    )


class StageService:
    """The workload of a stage: consumer loop, slots and background threads."""

    def __init__(
        self,
        stage: str,
        host: ServiceHost,
        spec: StageSpec | None = None,
        fetch: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """``spec`` replaces the stage's own, for benchmarks.

        ``fetch`` downloads what the handler needs, with this process's credentials, and returns variables of the
        workers' environment; it may raise HandlerUnavailable, and is called again before the next attempt to load.
        """
        settings = host.settings
        pipeline_step = step(stage)
        engine = settings.engine if pipeline_step.per_engine else None
        spec = spec or _spec(pipeline_step.module, engine)
        group = settings.group(stage, engine)
        client = client_name(stage, settings)
        self._host = host
        self._scratch = Scratch(settings.scratch_dir)
        self._clock = SlotClock()
        self._breaker = CircuitBreaker(stage)
        self._disk = DiskSpace(self._scratch.path, settings.free_space_reserve_mb, self._clock.extend)
        store = open_store(settings, stage)
        self._cancellations = _cancellations(host, client, group)
        router, self._group_views = open_router(settings, following(stage))
        processor = task_processor(
            spec,
            group,
            settings,
            store,
            host.producers,
            host.tracing,
            self._cancellations.has,
            self._disk,
            host.stop.is_set,
            self._breaker,
            router,
        )
        completions = Completions()
        workers = [
            WorkerProcess(spec, settings.engine, log_record) for _ in range(1 if spec.one_slot else settings.slots)
        ]
        self._slots = WorkerSlots(stage, workers, processor.handle, completions, self._clock, host.fail, fetch)
        self._fetch_stall = FetchStallDetector()
        consume = consumer_config(settings, client, group, group_protocol(settings))
        # In one delivery: the deaths, and one attempt more. A wait for the object store takes no longer than the work.
        attempts = min(settings.max_attempts, settings.max_crashes + 1)
        self._task_limit_s = attempts * 2 * spec.deadline_s + TASK_GRACE_S
        metrics.TASK_LIMIT.labels(stage).set(self._task_limit_s)
        topic = settings.topic(pipeline_step.source.format(engine=settings.engine))
        reader = reader_config(settings, f"{client}-oldest", f"{group}.oldest") | READER
        self._oldest = OldestRecords(topic, lambda: clients.raw_consumer(reader), host.producers.clock)
        self._loop = ConsumerLoop(
            clients.raw_consumer(consume | {"stats_cb": self._on_statistics}),
            [topic],
            self._slots,
            completions,
            BARRIER_SHARE * settings.max_poll_interval_ms / 1000,
            may_start=self._breaker.may_start,
            max_crashes=settings.max_crashes,
            task_limit_s=self._task_limit_s,
        )
        # The stage that reads frames also runs the janitor. Its object store does not retry: the passes are repeated.
        self._janitor = Janitor(ObjectStore.open(StorageSettings())) if spec.streams else None

    def run(self, stop: Event, drain_s: float) -> None:
        """Load the handlers, then consume until ``stop``."""
        self._cancellations.start()
        if self._janitor is not None:
            self._host.start_thread("janitor", self._janitor.run)
        self._host.start_thread("oldest-records", self._oldest.run)
        if self._group_views is not None:
            self._host.start_thread("routing", self._group_views.run)
        self._slots.start()
        while not self._slots.ready and not stop.is_set():
            stop.wait(READY_POLL_S)  # A member that can't process records yet must hold no partitions.
        self._loop.run(stop, drain_s)

    def close(self) -> None:
        """End slots and threads, and remove the scratch folder."""
        self._slots.close()
        self._cancellations.close()
        self._scratch.close()

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""
        silent = time.monotonic() - self._loop.heartbeat
        if self._slots.ready and silent > LOOP_SILENT_S:
            return f"the consumer loop has not polled for {silent:.0f} s"
        longest = self._clock.longest_s
        return f"a task has been in its slot for {longest:.0f} s" if longest > self._task_limit_s else None

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is."""
        if not self._slots.ready:
            missing = self._slots.unavailable
            return f"{NOT_READY}{missing}" if missing else "the handler is loading"
        if reason := self._breaker.reason:
            return f"{NOT_READY}{reason}"
        if full := self._disk.reason:
            return f"{NOT_READY}missing disk space: {full}"
        return None if self._loop.joined.is_set() else "the consumer group has not been joined"

    def _on_statistics(self, text: str) -> None:
        statistics = Statistics.read(text)
        metrics.CONSUMER_LAG.clear()  # The new owners of revoked partitions report their lag.
        for (topic, number), partition in statistics.partitions.items():
            if partition.consumer_lag >= 0:
                metrics.CONSUMER_LAG.labels(topic, number).set(partition.consumer_lag)
        self._oldest.note(statistics.partitions)
        if statistics.cgrp.join_state == "steady":
            self._loop.joined.set()  # With more replicas than partitions, a replica without one is ready, too.
        if stalled := self._fetch_stall.stalled(statistics.fetch_states):
            self._host.fail(stalled)


def open_store(settings: RuntimeSettings, stage: str) -> ObjectStore:
    """The object store for tasks of a stage; its operations retry according to the settings."""
    return ObjectStore.open(StorageSettings(), lambda works: RetryPolicy(settings.store_retry_timeout_s, works, stage))


def client_name(stage: str, settings: RuntimeSettings) -> str:
    """Name of a stage's service in the ids of its Kafka clients."""
    return f"{stage}-{settings.engine}" if step(stage).per_engine else stage


def _cancellations(host: ServiceHost, client: str, group: str) -> Cancellations:
    def on_statistics(text: str) -> None:
        cancellations.statistics(text)

    config = reader_config(host.settings, f"{client}-cancel", f"{group}.cancel")
    consumer = clients.raw_consumer(config | {"stats_cb": on_statistics})
    cancellations = Cancellations(consumer, host.settings.topic(CANCEL), host.thread_died)
    return cancellations


def _spec(module: str, engine: str | None) -> StageSpec:
    """The stage's spec, for an engine where the stage has one per engine. Raises ValueError for an unknown engine."""
    stage = importlib.import_module(module)
    return cast("StageSpec", stage.STAGE if engine is None else stage.stage_of(engine))


def serve(
    stage: str,
    settings: RuntimeSettings,
    spec: StageSpec | None = None,
    fetch: Callable[[], Mapping[str, str]] | None = None,
) -> int:
    """Run a stage's service in the foreground until SIGTERM, SIGINT or a failure; returns the exit status.

    ``spec`` and ``fetch`` are those of StageService.
    """
    host = ServiceHost(stage, client_name(stage, settings), settings)
    return host.run(partial(StageService, stage, host, spec, fetch))
