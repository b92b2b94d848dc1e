"""Webhooks as a service: constructs and connects its parts."""

import time
from functools import partial
from threading import Event

import structlog
from confluent_kafka import KafkaError

from shared.messages.codes import Code
from shared.messages.pipeline import WEBHOOKS
from shared.messages.topics import EVENTS
from shared.messages.topics import WEBHOOKS as NOTICES
from shared.runtime.consume.commits import COMMIT_LIMIT_S
from shared.runtime.consume.lag_gauge import LagGauge
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.group_protocol import awaited_group_protocol
from shared.runtime.host.not_ready import NOT_READY
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import consumer_config
from shared.runtime.settings import RuntimeSettings
from shared.storage.client import connect
from shared.storage.documents import DocumentStore
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, metrics
from stages.gateway.webhooks.addresses import AddressPolicy
from stages.gateway.webhooks.consumer_loop import ConsumerLoop
from stages.gateway.webhooks.delivering import Delivering
from stages.gateway.webhooks.endpoints import Endpoints
from stages.gateway.webhooks.fan_out import FanOut
from stages.gateway.webhooks.handling import Handling
from stages.gateway.webhooks.keyed_pool import KeyedPool
from stages.gateway.webhooks.repeating import Repeating
from stages.gateway.webhooks.sending import Poster
from stages.gateway.webhooks.settings import WebhookSettings
from stages.gateway.webhooks.signing import signer_of

WAITING_PER_ENDPOINT = 64
"""Notices of one endpoint that wait in a service; further ones wait on the first retry topic."""
PREFETCHED = 256
OUTCOMES = ("delivered", "retried", "dead_letter", "gone", "deferred", "disabled", "unregistered", "purged",
            "unreadable", "refused")  # fmt: skip
log = structlog.get_logger()


class WebhookService:
    """The workload of the service."""

    def __init__(self, host: ServiceHost, options: WebhookSettings) -> None:
        """Raises ValueError without a key to sign with."""
        signer = signer_of(options)
        if signer is None:
            raise ValueError("LIPSTAGE_WEBHOOK_KEY is not set")
        settings = host.settings
        self._host = host
        self._settings = settings
        self._group = settings.group(WEBHOOKS)
        storage = StorageSettings()
        documents = DocumentStore(connect(storage), storage)
        endpoints = Endpoints(documents)
        policy = AddressPolicy(allow_http=options.allow_http, networks=options.allow_networks)
        repeat = Repeating(host.stop)
        delivering = Delivering(
            endpoints,
            documents,
            Poster(policy, options.timeout_s),
            signer,
            host.producers,
            host.tracing.tracer,
            repeat,
            prefix=settings.topic_prefix,
            group=self._group,
            tiers=settings.tiers,
            max_attempts=options.max_attempts,
        )
        pool = KeyedPool(options.concurrency, options.concurrency_per_endpoint, WAITING_PER_ENDPOINT)
        fan_out = FanOut(endpoints, host.producers, settings.topic(NOTICES), repeat)
        self._handling = Handling(fan_out, delivering, pool, settings.topic_prefix, host.fail)
        self._fetch_stall = FetchStallDetector()
        self._lag = LagGauge()
        self._loop: ConsumerLoop | None = None

    def run(self, stop: Event, drain_s: float) -> None:
        """Tell endpoints until ``stop``."""
        for outcome in OUTCOMES:  # An alert that watches the increase misses the first of a series that begins at 1.
            metrics.WEBHOOKS.labels(outcome)
        for code in (Code.WEBHOOK_FAILED, Code.POISON, Code.INTERNAL):
            metrics.DEAD_LETTERS.labels(WEBHOOKS, code)
        protocol = awaited_group_protocol(self._settings, stop)
        if protocol is None:
            return
        config = consumer_config(self._settings, WEBHOOKS, self._group, protocol) | {
            "queued.min.messages": PREFETCHED,
            "stats_cb": self._on_statistics,
            "error_cb": self._on_error,
        }
        self._loop = ConsumerLoop(clients.raw_consumer(config), self._handling)
        self._loop.run(stop, drain_s)

    def close(self) -> None:
        """End the threads."""
        self._handling.close()

    def abandon(self) -> bool:
        """True when it has never held a partition."""
        return self._loop is None or not self._loop.joined.is_set()

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""
        silent = 0.0 if self._loop is None else time.monotonic() - self._loop.heartbeat
        return f"the service has made no step for {silent:.0f} s" if silent > COMMIT_LIMIT_S else None

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is."""
        if self._loop is None or not self._loop.broker_answers:
            return "the broker does not answer"
        if self._settings.topic(NOTICES) not in self._loop.subscribed:
            return f"{NOT_READY}missing topics: {self._settings.topic(NOTICES)}"
        if not any(name.startswith(self._settings.topic(EVENTS)) for name in self._loop.subscribed):
            return f"{NOT_READY}missing topics: {self._settings.topic(EVENTS)}"
        return None if self._loop.joined.is_set() else "the consumer group has not been joined"

    def _on_statistics(self, text: str) -> None:
        statistics = Statistics.read(text)
        self._lag.set(statistics.partitions)
        if statistics.cgrp.join_state == "steady" and self._loop is not None:
            self._loop.joined.set()  # With more replicas than partitions, a replica without one is ready, too.
        if stalled := self._fetch_stall.stalled(statistics.fetch_states):
            self._host.fail(stalled)

    @staticmethod
    def _on_error(error: KafkaError) -> None:
        log.warning("kafka_error", error=error.name(), text=error.str())


def serve(settings: RuntimeSettings, options: WebhookSettings) -> int:
    """Run the service in the foreground until SIGTERM, SIGINT or a failure; returns the exit status."""
    host = ServiceHost(WEBHOOKS, WEBHOOKS, settings)
    return host.run(partial(WebhookService, host, options))
