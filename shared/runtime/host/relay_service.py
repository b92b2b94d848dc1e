"""The relay as a service: constructs and connects its parts."""

import time
from functools import partial
from threading import Event

import structlog
from confluent_kafka import KafkaError

from shared.messages.pipeline import RELAY
from shared.messages.topics import CLOCK, EVENTS, MAX_DEAD_LETTER_BYTES, retry_topic
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.commits import COMMIT_LIMIT_S
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.group_protocol import awaited_group_protocol
from shared.runtime.host.not_ready import NOT_READY
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import consumer_config, producer_config
from shared.runtime.process.decoding import TaskDecoder
from shared.runtime.process.routing import RoundRobin
from shared.runtime.relay.destination import Destinations
from shared.runtime.relay.dispatcher import Dispatcher
from shared.runtime.relay.refusals import Refusals
from shared.runtime.relay.relay_loop import RelayLoop
from shared.runtime.relay.retry_partition import PAUSE_AT
from shared.runtime.relay.sender import PRODUCER, Sender
from shared.runtime.relay.topic_catalogue import ANSWER_S, TopicCatalogue
from shared.runtime.relay.waiting_metrics import WaitingMetrics
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle import render_metrics
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.render_summary import RenderSummary
from shared.storage.artifacts import ArtifactStore
from shared.storage.client import connect
from shared.storage.documents import DocumentStore
from shared.storage.settings import StorageSettings
from shared.telemetry import clients

LOOP_SILENT_S = 30.0
"""A loop that has made no step for this time hangs, seconds."""
BARRIER_S = 30.0
"""How long a revocation waits for delivery reports, seconds: they take milliseconds while the broker answers."""
log = structlog.get_logger()


class RelayService:
    """The workload of a relay."""

    def __init__(self, host: ServiceHost) -> None:
        settings = host.settings
        self._host = host
        self._settings = settings
        self._group = settings.group(RELAY)
        prefix = settings.topic_prefix
        producer = clients.raw_producer(
            producer_config(settings, RELAY) | PRODUCER | {"message.max.bytes": MAX_DEAD_LETTER_BYTES}
        )
        self._clock = BrokerClock()
        self._sender = Sender(producer, self._clock, settings.topic(CLOCK))
        required = {settings.topic(retry_topic(tier)) for tier in settings.tiers} | {settings.topic(CLOCK)}
        self._catalogue = TopicCatalogue(producer, prefix, required)
        # Its operations do not retry: a refusal as a whole is repeated.
        storage = StorageSettings()
        s3 = connect(storage)
        documents = DocumentStore(s3, storage)
        render_metrics.prepare(RELAY, settings)
        events = EventPublisher(RELAY, prefix, host.producers, documents, partial(settings.topic_of, EVENTS))
        self._refusals = Refusals(
            self._group,
            prefix,
            host.producers,
            events,
            TaskDecoder(documents),
            documents,
            ArtifactStore(s3, storage),
            RenderSummary(host.tracing.tracer),
        )
        self._dispatcher = Dispatcher(
            self._group,
            self._sender,
            self._clock,
            self._catalogue,
            Destinations(prefix),
            RoundRobin(),
            self._refusals,
            host.tracing.tracer,
        )
        self._fetch_stall = FetchStallDetector()
        self._loop: RelayLoop | None = None

    def run(self, stop: Event, drain_s: float) -> None:
        """Relay until ``stop``."""
        protocol = awaited_group_protocol(self._settings, stop)
        if protocol is None:
            return
        config = consumer_config(self._settings, RELAY, self._group, protocol) | {
            "queued.min.messages": PAUSE_AT,
            "stats_cb": self._on_statistics,
            "error_cb": self._on_error,
        }
        waiting = WaitingMetrics(self._clock)
        self._loop = RelayLoop(
            clients.raw_consumer(config), self._catalogue, self._clock, self._dispatcher, waiting, BARRIER_S
        )
        self._loop.run(stop, drain_s)

    def close(self) -> None:
        """End the thread and the producer."""
        self._refusals.close()
        self._sender.close()

    def abandon(self) -> bool:
        """True when it has never held a partition."""
        return self._loop is None or not self._loop.joined.is_set()

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""
        if self._loop is None:
            return None
        silent = time.monotonic() - self._loop.heartbeat
        limit = COMMIT_LIMIT_S if self._loop.commit_s else LOOP_SILENT_S
        return f"the relay has made no step for {silent:.0f} s" if silent > limit else None

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is."""
        commit_s = 0.0 if self._loop is None else self._loop.commit_s
        if not self._catalogue.broker_answers or commit_s > ANSWER_S:
            return "the broker does not answer"
        if missing := [*self._catalogue.missing, *self._dispatcher.missing]:
            return f"{NOT_READY}missing topics: {', '.join(missing)}"
        if self._sender.lacks_broker_time:
            return f"{NOT_READY}the topic {self._settings.topic(CLOCK)} is not set to LogAppendTime"
        joined = self._loop is not None and self._loop.joined.is_set()
        return None if joined else "the consumer group has not been joined"

    def _on_statistics(self, text: str) -> None:
        statistics = Statistics.read(text)
        if statistics.cgrp.join_state == "steady" and self._loop is not None:
            self._loop.joined.set()  # With more replicas than partitions, a replica without one is ready, too.
        if stalled := self._fetch_stall.stalled(statistics.fetch_states):
            self._host.fail(stalled)

    def _on_error(self, error: KafkaError) -> None:
        log.warning("kafka_error", error=error.name(), text=error.str())
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._catalogue.renew_soon()


def serve_relay(settings: RuntimeSettings) -> int:
    """Run the relay in the foreground until SIGTERM, SIGINT or a failure; returns the exit status."""
    host = ServiceHost(RELAY, RELAY, settings)
    return host.run(partial(RelayService, host))
