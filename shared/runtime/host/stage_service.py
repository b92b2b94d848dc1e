"""One stage as a service: constructs and connects its parts."""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import cast

from shared.messages.lanes import LANES, lane_of
from shared.messages.pipeline import FIRST, following, step
from shared.messages.tenant_topics import subscription, takes_cancels, takes_requests
from shared.messages.topics import CANCEL, CHUNKS
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.consume.assignment import Completions
from shared.runtime.consume.cancellations import Cancellations
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.consume.lag_gauge import LagGauge
from shared.runtime.consume.notice_reader import NoticeReader
from shared.runtime.consume.oldest_records import READER, OldestRecords
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.execute.confinement_report import ConfinementReport, warn_of_root
from shared.runtime.execute.provenance import Provenance
from shared.runtime.execute.scratch import DiskSpace, Scratch
from shared.runtime.execute.slot_worker import SlotWorker
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.execute.worker_telemetry import log_record
from shared.runtime.group_protocol import group_protocol
from shared.runtime.host.not_ready import NOT_READY
from shared.runtime.host.pod_deletion_cost import Pod, PodDeletionCost
from shared.runtime.host.processing import open_store, task_processor
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import consumer_config, reader_config
from shared.runtime.policy_settings import PolicySettings
from shared.runtime.process.early_starts import EarlyStarts, source_of
from shared.runtime.process.least_loaded import open_router
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.janitor import Janitor
from shared.runtime.tenant_check import TenantCheck, permits_cancel
from shared.runtime.tenant_settings import TenantSettings
from shared.slot.spec import StageSpec
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, metrics

LOOP_SILENT_S = 30.0
"""A consumer loop that has not polled for this time hangs, seconds; a revocation's barrier updates the heartbeat."""
BARRIER_SHARE = 0.5
"""Share of max.poll.interval.ms that a revocation may wait for running tasks."""
TASK_GRACE_S = 300.0
"""Time for a task's downloads and uploads, beside its worker's deadline and waits for the object store, seconds."""
READY_POLL_S = 0.02
CANCEL_FETCH_WAIT_MS = 2000
"""How long the broker holds a fetch of cancel commands, milliseconds. The reader follows the topic and waits for no end
of it; a command ends the wait at once."""


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
        # First: while a broker does not answer, there is nothing to release.
        protocol = group_protocol(settings, host.stop)
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
        tenants = TenantCheck(settings, TenantSettings().keys())
        self._cancellations = _cancellations(host, client, group, tenants)
        provenance = Provenance.open(PolicySettings()) if spec.marks else None
        if provenance is not None:
            provenance.warn()
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
            # The assignors of the classic protocol share out all partitions of a group together: a replica would get
            # those of one lane, and idle while the other has work.
            lanes=protocol == "consumer",
            tenants=tenants,
            provenance=provenance,
        )
        completions = Completions()
        make = partial(
            WorkerProcess,
            spec,
            settings.engine,
            log_record,
            scratch=self._scratch.path,
            confinement=settings.confinement,
            on_start=ConfinementReport(stage, host.details).take,
        )
        reuse = "always" if spec.keeps_worker else settings.worker_reuse
        slots = 1 if spec.one_slot else settings.slots
        workers = [SlotWorker(stage, spec.handler, make, reuse) for _ in range(slots)]
        self._slots = WorkerSlots(stage, workers, processor.handle, completions, self._clock, host.fail, fetch)
        self._fetch_stall = FetchStallDetector()
        consume = consumer_config(settings, client, group, protocol)
        # In one delivery: the deaths, and one attempt more. A wait for the object store takes no longer than the work.
        attempts = min(settings.max_attempts, settings.max_crashes + 1)
        self._task_limit_s = attempts * 2 * spec.deadline_s + TASK_GRACE_S
        metrics.TASK_LIMIT.labels(stage).set(self._task_limit_s)
        topics = [settings.topic(topic) for topic in pipeline_step.topics(settings.engine)]
        reader = reader_config(settings, f"{client}-oldest", f"{group}.oldest") | READER
        self._lag = LagGauge()
        clock = host.producers.clock
        by_pattern = stage == FIRST and settings.tenancy == "topic"
        self._oldest = [
            OldestRecords(
                topic, lambda: clients.raw_consumer(reader), clock, _same_lane(topic, settings) if by_pattern else None
            )
            for topic in topics
        ]
        self._loop = ConsumerLoop(
            clients.raw_consumer(consume | {"stats_cb": self._on_statistics}),
            # The group finds the topics of a new tenant by itself.
            [subscription(settings.topic_prefix)] if by_pattern else topics,
            self._slots,
            completions,
            BARRIER_SHARE * settings.max_poll_interval_ms / 1000,
            may_start=self._breaker.may_start,
            max_crashes=settings.max_crashes,
            task_limit_s=self._task_limit_s,
            read_ahead=settings.read_ahead,
            served=tenants.served if stage == FIRST else None,
        )
        self._notices: NoticeReader | None = None
        if settings.overlap and source_of(spec) is not None:
            early = EarlyStarts(
                spec,
                settings,
                store,
                self._slots,
                self._disk,
                self._loop.assignment,
                self._cancellations.has,
                lambda: self._breaker.reason is None and not host.stop.is_set(),
                provenance,
            )
            notices = reader_config(settings, f"{client}-chunks", f"{group}.chunks") | {"auto.offset.reset": "latest"}
            self._notices = NoticeReader(
                lambda: clients.raw_consumer(notices), settings.topic(CHUNKS), early.take, early.check
            )
        self._deletion_cost: PodDeletionCost | None = None
        if settings.pod_deletion_cost:
            pod = Pod.of(settings.pod_name, settings.pod_namespace, os.environ)
            self._deletion_cost = PodDeletionCost(stage, pod, lambda: self._clock.longest_s)
        # The stage that reads frames also runs the janitor. Its object store does not retry: the passes are repeated.
        self._janitor = Janitor(ObjectStore.open(StorageSettings())) if spec.streams else None

    def run(self, stop: Event, drain_s: float) -> None:
        """Load the handlers, then consume until ``stop``."""
        warn_of_root()
        self._cancellations.start()
        if self._janitor is not None:
            self._host.start_thread("janitor", self._janitor.run)
        for lane, oldest in zip(LANES, self._oldest, strict=True):
            self._host.start_thread(f"oldest-records-{lane}", oldest.run)
        if self._notices is not None:
            self._host.start_thread("chunk-notices", self._notices.run)
        if self._deletion_cost is not None:
            self._host.start_thread("pod-deletion-cost", self._deletion_cost.run)
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

    def abandon(self) -> bool:
        """True when it has never held a partition; the scratch folder is then removed."""
        if self._loop.joined.is_set():
            return False
        self._scratch.close()
        return True

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
        self._lag.set(statistics.partitions)
        for oldest in self._oldest:
            oldest.note(statistics.partitions)
        if statistics.cgrp.join_state == "steady":
            self._loop.joined.set()  # With more replicas than partitions, a replica without one is ready, too.
        if stalled := self._fetch_stall.stalled(statistics.fetch_states):
            self._host.fail(stalled)


def client_name(stage: str, settings: RuntimeSettings) -> str:
    """Name of a stage's service in the ids of its Kafka clients."""
    return f"{stage}-{settings.engine}" if step(stage).per_engine else stage


def _same_lane(topic: str, settings: RuntimeSettings) -> Callable[[str], bool]:
    """Whether another topic takes requests of the same lane: a gauge for each tenant's topics would be many."""
    prefix = settings.topic_prefix
    return lambda name: (
        name.startswith(prefix) and takes_requests(name.removeprefix(prefix)) and lane_of(name) == lane_of(topic)
    )


def _cancellations(host: ServiceHost, client: str, group: str, tenants: TenantCheck) -> Cancellations:
    def on_statistics(text: str) -> None:
        cancellations.statistics(text)

    config = reader_config(host.settings, f"{client}-cancel", f"{group}.cancel")
    config["fetch.wait.max.ms"] = CANCEL_FETCH_WAIT_MS
    consumer = clients.raw_consumer(config | {"stats_cb": on_statistics})
    prefix = host.settings.topic_prefix

    def is_of_tenant(name: str) -> bool:
        return name.startswith(prefix) and takes_cancels(name.removeprefix(prefix))

    cancellations = Cancellations(
        consumer,
        host.settings.topic(CANCEL),
        host.thread_died,
        also=is_of_tenant if host.settings.tenancy == "topic" else None,
        permits=permits_cancel(tenants),
    )
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
