"""One stage as a service: wires the pieces, runs the consumer loop in the main thread, ends cleanly."""

import importlib
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import structlog
from confluent_kafka import KafkaException

import shared
from shared.messages.pipeline import step
from shared.messages.topics import CANCEL, MAX_DEAD_LETTER_BYTES
from shared.runtime.cancellations import Cancellations
from shared.runtime.consumer_loop import ConsumerLoop
from shared.runtime.fetching import FetchStallDetector
from shared.runtime.flow import Flow
from shared.runtime.health import NOT_READY, HealthServer
from shared.runtime.janitor import Janitor
from shared.runtime.kafka_config import consumer_config, group_protocol, producer_config, reader_config
from shared.runtime.producers import Producers
from shared.runtime.scratch import Scratch
from shared.runtime.settings import RuntimeSettings
from shared.runtime.slots import Slots
from shared.runtime.statistics import Statistics
from shared.runtime.store import Store
from shared.runtime.watched_thread import WatchedThread
from shared.slot.limits import hide_from_workers, no_core_dumps
from shared.slot.spec import StageSpec
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, metrics, tracing

LOOP_SILENT_S = 30.0
"""A loop that has not polled for so long hangs; the barrier of a revocation keeps its heartbeat."""
BARRIER_SHARE = 0.5
"""Part of max.poll.interval that a revocation may wait for running tasks."""

TASK_GRACE_S = 300.0
"""What a task may take beside its worker's work: fetching, storing, waiting for a store that is away."""

log = structlog.get_logger()


class Service:
    """Everything one process of a stage owns. ``spec`` takes the place of the stage's own, for benchmarks.

    ``fetch`` downloads what the handler needs, with this process's credentials, and returns variables of the workers'
    environment; it may raise HandlerUnavailable, and is called again before the next attempt to load.
    """

    def __init__(
        self,
        stage: str,
        settings: RuntimeSettings,
        spec: StageSpec | None = None,
        fetch: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        place = step(stage)
        per_engine = "{engine}" in place.source
        spec = spec or _spec(place.module, settings.engine if per_engine else None)
        topic = settings.topic(place.source.format(engine=settings.engine))
        group = settings.group(stage, settings.engine if per_engine else None)
        name = f"{stage}-{settings.engine}" if per_engine else stage
        self._stage = stage
        self._settings = settings
        self._stop = threading.Event()
        self._failure: str | None = None
        self._dead: str | None = None
        self._tracing = tracing.setup(stage, shared.__version__)
        store = Store.open(StorageSettings())
        produce = producer_config(settings, name)
        dead_letters = produce | {"message.max.bytes": MAX_DEAD_LETTER_BYTES}
        traced, raw = clients.traced_producer(self._tracing, produce), clients.raw_producer(dead_letters)
        self._producers = Producers(traced, raw, self._thread_died)
        reader = reader_config(settings, f"{name}-cancel", f"{group}.cancel")
        cancels = clients.raw_consumer(reader | {"stats_cb": lambda text: self._cancellations.statistics(text)})
        self._cancellations: Cancellations = Cancellations(cancels, settings.topic(CANCEL), self._thread_died)
        self._scratch = Scratch(settings.scratch_dir)
        flow = Flow(
            spec,
            group,
            settings,
            store,
            self._producers,
            self._tracing,
            self._cancellations,
            self._scratch.path,
            self._stop,
        )
        slots = 1 if spec.one_slot else settings.slots
        self._slots = Slots(spec, settings.engine, slots, flow.settle, self.fail, fetch)
        consume = consumer_config(settings, name, group, group_protocol(settings))
        self._loop = ConsumerLoop(
            clients.raw_consumer(consume | {"stats_cb": self._statistics}),
            [topic],
            slots,
            self._slots.feed,
            BARRIER_SHARE * settings.max_poll_interval_ms / 1000,
        )
        self._disk = flow.disk
        self._disk.on_wait = self._slots.extend
        self._slots.on_done = self._loop.done
        self._slots.on_abandoned = self._loop.abandoned
        self._fetch_stall = FetchStallDetector()
        self._janitor = self._janitor_of(spec, store)
        self._task_limit_s = settings.max_attempts * spec.deadline_s + TASK_GRACE_S + settings.store_lost_after_s
        self._health = HealthServer(
            settings.health_host, settings.health_port, self.live, self.ready, metrics.exposition, self._thread_died
        )
        metrics.BUILD.labels(shared.__version__, stage).set(1)

    def run(self) -> int:
        """Serve until SIGTERM, SIGINT or a failure that only a fresh process mends; the exit status."""
        no_core_dumps()
        hide_from_workers()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._health.start()
        log.info("service_started", stage=self._stage, health_port=self._health.port)
        self._cancellations.start()
        if self._janitor is not None:
            self._janitor.start()
        self._slots.start()
        drain = self._settings.drain_s
        try:
            while not self._slots.ready and not self._stop.is_set():
                self._stop.wait(0.02)  # A member that can't work yet must not hold partitions.
            self._loop.run(self._stop, drain)
        except KafkaException as e:
            self.fail(f"Kafka: {e.args[0]}")
        except Exception as e:
            log.exception("consumer_loop_failed")
            self.fail(f"{type(e).__name__}: {e}")
        self._slots.close()
        self._cancellations.close()
        self._producers.close()
        self._tracing.shutdown()
        self._health.close()
        self._scratch.close()
        log.info("service_stopped", failure=self._failure)
        return 1 if self._failure else 0

    def _janitor_of(self, spec: StageSpec, store: Store) -> WatchedThread | None:
        """The stage that reads frames also looks for those that nobody deleted."""
        if not spec.streams:
            return None
        return WatchedThread("janitor", partial(Janitor(store).run, self._stop), self._thread_died, self._stop)

    def fail(self, reason: str) -> None:
        """End the service: what is not settled will be delivered again. Any thread."""
        self._failure = self._failure or reason
        log.error("service_failed", reason=reason)
        self._stop.set()

    def _thread_died(self, reason: str) -> None:
        """A thread that the service can't do without has ended: it is not alive any more, and ends."""
        self._dead = self._dead or reason
        self.fail(reason)

    def live(self) -> str | None:
        """Why this process should be killed, if it should."""
        if self._dead:
            return self._dead
        silent = time.monotonic() - self._loop.heartbeat
        if self._slots.ready and silent > LOOP_SILENT_S:
            return f"the consumer loop has not polled for {silent:.0f} s"
        longest = self._slots.longest_s
        return f"a task has been in its slot for {longest:.0f} s" if longest > self._task_limit_s else None

    def ready(self) -> str | None:
        """Why this process should get no work, if it should not."""
        if self._failure or self._stop.is_set():
            return self._failure or "the service is ending"
        if not self._slots.ready:
            missing = self._slots.unavailable
            return f"{NOT_READY}{missing}" if missing else "the handler is loading"
        if full := self._disk.reason:
            return f"{NOT_READY}missing disk space: {full}"
        return None if self._loop.joined.is_set() else "the consumer group has not been joined"

    def _on_signal(self, number: int, _: Any) -> None:
        if self._stop.is_set():
            self._failure = self._failure or f"ended at once by a second signal {number}"
            raise SystemExit(1)
        self._stop.set()

    def _statistics(self, text: str) -> None:
        found = Statistics.read(text)
        metrics.CONSUMER_LAG.clear()  # Partitions that were given away are others' to report.
        for (topic, number), partition in found.partitions.items():
            if partition.consumer_lag >= 0:
                metrics.CONSUMER_LAG.labels(topic, number).set(partition.consumer_lag)
        if found.cgrp.join_state == "steady":
            self._loop.joined.set()  # With more replicas than partitions some have none, and are as ready.
        if stuck := self._fetch_stall.stuck(found.fetch_states):
            self.fail(stuck)


def _spec(module: str, engine: str | None) -> StageSpec:
    """The stage's own, or as it runs with an engine. Raises ValueError for an engine that this build does not have."""
    stage = importlib.import_module(module)
    return cast("StageSpec", stage.STAGE if engine is None else stage.stage_of(engine))
