"""Hosts the workload of a service: telemetry, producers, probes, signals, an orderly shutdown."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaException

import shared
from shared.messages.topics import MAX_DEAD_LETTER_BYTES
from shared.runtime.group_protocol import Stopped
from shared.runtime.host.early_exit import EarlyExit
from shared.runtime.host.health import HealthServer
from shared.runtime.kafka_config import producer_config
from shared.runtime.producers import Producers
from shared.runtime.settings import RuntimeSettings
from shared.runtime.watched_thread import WatchedThread
from shared.slot.limits import hide_from_workers, no_core_dumps
from shared.telemetry import clients, metrics, process_usage, tracing

log = structlog.get_logger()


class Workload(Protocol):
    """The work of a service, which consumes and handles records. Runs in the host's main thread."""

    def run(self, stop: threading.Event, drain_s: float) -> None:
        """Work until ``stop``; then let running tasks end within ``drain_s`` seconds. An exception ends the service."""

    def close(self) -> None:
        """Release all resources, after ``run``."""

    def abandon(self) -> bool:
        """Release what would outlast the process, if it has never held a partition: nothing is lost when the process
        then just ends. False when it must end in order. Any thread."""

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is."""


class ServiceHost:
    """One process of a service. Construct the host, then call ``run``, which constructs the workload."""

    def __init__(self, name: str, client: str, settings: RuntimeSettings) -> None:
        """``name`` is the service's name in traces and metrics, ``client`` the prefix of its Kafka client ids."""
        self.settings = settings
        self.stop = threading.Event()
        """Set when the service ends."""
        self.details: dict[str, str] = {}
        """What ``/readyz`` answers beside its reason."""
        self._name = name
        self._workload: Workload | None = None
        self._signals = 0
        self._failure: str | None = None
        self._dead: str | None = None
        self._end_logged = False
        self._logging_end = threading.Lock()
        self.tracing = tracing.setup(name, shared.__version__)
        config = producer_config(settings, client)
        raw = clients.raw_producer(config | {"message.max.bytes": MAX_DEAD_LETTER_BYTES})
        self.producers = Producers(clients.traced_producer(self.tracing, config), raw, self.thread_died)
        metrics.BUILD.labels(shared.__version__, name).set(1)
        process_usage.register_cpu_time(name)

    def run(self, make: Callable[[], Workload]) -> int:
        """Serve until SIGTERM, SIGINT or a failure that only a new process repairs; returns the exit status.

        ``make`` constructs the workload with the host's producers and tracing; what it raises ends the service. A
        signal that arrives meanwhile still lets the workload close: it may have made files by then. A workload that
        has held no partition gets a second for that.
        """
        no_core_dumps()
        hide_from_workers()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        early = EarlyExit(self.stop, self._abandon, self._log_end, lambda: 1 if self._failure else 0)
        try:
            workload = self._workload = make()
        except Stopped:
            self._end()
            early.close()
            return 0
        settings = self.settings
        health = HealthServer(
            settings.health_host,
            settings.health_port,
            partial(self.live, workload),
            partial(self.ready, workload),
            metrics.exposition,
            self.thread_died,
            self.details,
        )
        health.start()
        log.info("service_started", stage=self._name, health_port=health.port)
        try:
            workload.run(self.stop, settings.drain_s)
        except KafkaException as e:
            self.fail(f"Kafka: {e.args[0]}")
        except Exception as e:
            log.exception("workload_failed")
            self.fail(f"{type(e).__name__}: {e}")
        workload.close()
        self._end()
        health.close()
        early.close()
        return 1 if self._failure else 0

    def _end(self) -> None:
        self.producers.close()
        self.tracing.shutdown()
        self._log_end()

    def _log_end(self, reason: str | None = None) -> None:
        """Log the end, once: on a busy machine the orderly end may reach this line while the early one does."""
        with self._logging_end:
            if not self._end_logged:
                self._end_logged = True
                log.info("service_stopped", failure=self._failure, **({"reason": reason} if reason else {}))

    def _abandon(self) -> bool:
        return self._workload is None or self._workload.abandon()

    def start_thread(self, name: str, target: Callable[[threading.Event], None]) -> None:
        """Run ``target(stop)`` in a background thread; if it ends before the service, the service ends, too."""
        WatchedThread(name, partial(target, self.stop), self.thread_died, self.stop).start()

    def fail(self, reason: str) -> None:
        """End the service; records that are not settled are delivered again. Any thread."""
        self._failure = self._failure or reason
        log.error("service_failed", reason=reason)
        self.stop.set()

    def thread_died(self, reason: str) -> None:
        """End the service because a required thread has ended; liveness fails from now on."""
        self._dead = self._dead or reason
        self.fail(reason)

    def live(self, workload: Workload) -> str | None:
        """The reason to kill this process; None when it is live."""
        return self._dead or workload.live()

    def ready(self, workload: Workload) -> str | None:
        """The reason why this process is not ready; None when it is."""
        if self._failure or self.stop.is_set():
            return self._failure or "the service is ending"
        return workload.ready()

    def _on_signal(self, number: int, _: Any) -> None:
        self._signals += 1
        if self._signals > 1 or self._failure:
            self._failure = self._failure or f"a second signal {number} ended the service at once"
            raise SystemExit(1)
        self.stop.set()
