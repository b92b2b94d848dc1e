"""The projection as a service: reads the states, runs the faust app and the answers in one event loop, and watches."""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import faust
import structlog
from confluent_kafka import KafkaException

from shared.client.connection import Connection
from shared.client.deployment import Deployment
from shared.client.errors import ClientError
from shared.client.topic_log import Offsets
from shared.messages.codes import Code
from shared.messages.pipeline import PROJECTION
from shared.messages.tenant_topics import request_topics, tenant_topic
from shared.messages.topics import DAY_MS, EVENTS, JOBS, REQUEST_TOPICS
from shared.runtime.consume.assignment import Record
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import METADATA_REFRESH_S, base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_check import TenantCheck, may_name
from shared.runtime.tenant_settings import TenantSettings
from shared.runtime.topic_admin import tenants_on
from shared.telemetry import metrics
from stages.gateway.projection import snapshot
from stages.gateway.projection.answers import Answers
from stages.gateway.projection.broker_access import broker_access, settings_of
from stages.gateway.projection.completeness import Completeness
from stages.gateway.projection.faust_app import make_app, partitions_of
from stages.gateway.projection.group_progress import GroupProgress, StallDetector
from stages.gateway.projection.http_server import HttpServer
from stages.gateway.projection.job_table import JobTable
from stages.gateway.projection.projector import Projector
from stages.gateway.projection.publisher import RETRY_S, Publisher
from stages.gateway.projection.settings import ProjectionSettings

CHECK_S = 1.0
"""Interval of the look at the group's progress, seconds."""
EVICT_S = 60.0
STEP_S = 0.1
LOOP_SILENT_S = 60.0
"""An event loop that has made no step for this time hangs, seconds."""
DRAIN_S = 10.0
"""How long faust may take to stop, seconds."""
END_S = 3 * DRAIN_S
"""After this time the process ends although its event loop has not, seconds."""
log = structlog.get_logger()


class ProjectionService:
    """The workload of the projection."""

    def __init__(self, host: ServiceHost, options: ProjectionSettings) -> None:
        """Raises UnsupportedProperty for a property of the connection that faust's client does not have."""
        settings = host.settings
        self._host = host
        self._options = options
        self._group = settings.group(PROJECTION)
        self._events_days = settings.retention_events_days
        self._requests = set(map(settings.topic, REQUEST_TOPICS))
        self._events = {settings.topic(EVENTS)}
        self._jobs_topic = settings.topic(JOBS)
        self._access = broker_access(base(settings, PROJECTION))
        self._connection = Connection(Deployment(runtime=settings), PROJECTION)
        self._table = JobTable()
        tenants = TenantCheck(settings, TenantSettings().keys())
        self._projector = Projector(self._table, self._requests, partial(may_name, tenants))
        self._publisher: Publisher | None = None
        self._complete = Completeness()
        self._read_to: Offsets | None = None
        """The ends of ``render.jobs`` before it was last read."""
        self._step_at = time.monotonic()
        self._ended = threading.Event()
        self._reads = False
        """Whether it has begun to read events."""
        self._busy = asyncio.Lock()
        """Held by whoever changes the table."""

    def run(self, stop: threading.Event, drain_s: float) -> None:  # noqa: ARG002 - a fold takes milliseconds
        """Fold and answer until ``stop``."""
        if self._access.ignored:
            log.info("properties_ignored", names=list(self._access.ignored))
        for code in Code:  # An alert that watches the increase misses the first of a series that begins at 1.
            metrics.DEAD_LETTERS.labels(PROJECTION, code)
        self._host.start_thread("progress", self._watch)
        try:
            asyncio.run(self._run(stop))
        finally:
            self._ended.set()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def abandon(self) -> bool:
        """True when it has never read a record."""
        return not self._reads

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""
        silent = time.monotonic() - self._step_at
        return f"the event loop has made no step for {silent:.0f} s" if silent > LOOP_SILENT_S else None

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is: then its answers are those of the events."""
        return self._complete.reason()

    def position(self) -> dict[str, Any]:
        """What the answers are made of: number of jobs, since when none is missing, records not committed at the last
        look, and why it is not ready."""
        known = self._complete
        # A projection that is new, or was rebuilt, has read no older events than there are.
        since_ms = self._forget_before_ms(min(self._options.keep_days, self._events_days))
        return {
            "jobs": len(self._table),
            "complete_since_ms": self._table.complete_since_ms(since_ms, self._options.max_jobs),
            "lag": known.lag,
            "checked_ms": known.checked_ms,
            "not_ready": known.reason(),
        }

    async def _run(self, stop: threading.Event) -> None:
        server = HttpServer(Answers(self._table, self._options, self.position))
        port = await server.start(self._options.host, self._options.port)
        log.info("projection_answers", host=self._options.host, port=port)
        steps = asyncio.create_task(self._count_steps())
        app: faust.App | None = None
        folder: tempfile.TemporaryDirectory[str] | None = None
        try:
            await self._prepare(stop)
            if not stop.is_set():
                self._reads = True
                folder = tempfile.TemporaryDirectory(prefix="lipstage-projection-")
                app = self._make_app(Path(folder.name))
                await app.start()
                await self._attend(app, stop)
        finally:
            await server.close()
            if app is not None:
                # Waiting for a fold that is under way saves reading its records again, no more.
                with suppress(TimeoutError):
                    await asyncio.wait_for(app.stop(), DRAIN_S)
            if folder is not None:
                folder.cleanup()
            steps.cancel()

    async def _count_steps(self) -> None:
        while True:
            self._step_at = time.monotonic()
            await asyncio.sleep(1.0)

    async def _prepare(self, stop: threading.Event) -> None:
        """Wait for the topics and read the states; where there are none, read the events from their beginning."""
        while not stop.is_set():
            try:
                self._complete.missing_topics = await asyncio.to_thread(self._missing_topics)
                if not self._complete.missing_topics:
                    await self._load(stop)
                    if not self._table and await asyncio.to_thread(
                        snapshot.start_over, self._connection, self._group, self._topics
                    ):
                        log.warning("projection_starts_over", group=self._group)
                    return
            except (ClientError, KafkaException) as e:
                log.warning("projection_waits", error=type(e).__name__, text=str(e))
            await asyncio.sleep(RETRY_S)

    @property
    def _topics(self) -> tuple[str, ...]:
        return *sorted(self._events), *sorted(self._requests)

    def _missing_topics(self) -> list[str]:
        """Those of the topics that do not exist; notes those of tenants that have their own."""
        known = self._known_topics()
        for tenant in tenants_on(self._host.settings, known):
            of_tenant = map(self._host.settings.topic, (*request_topics(tenant), tenant_topic(EVENTS, tenant)))
            *requests, events = of_tenant
            self._requests.update(requests)
            self._events.add(events)
        return [name for name in (*self._topics, self._jobs_topic) if name not in known]

    def _known_topics(self) -> Collection[str]:
        consumer = self._connection.consumer()
        try:
            return set(consumer.list_topics(timeout=10).topics)
        finally:
            consumer.close()

    async def _load(self, stop: threading.Event) -> None:
        """Read every state from ``render.jobs``, in place of those in memory. Raises ClientError."""
        generation = self._complete.generation
        ends = await asyncio.to_thread(snapshot.ends, self._connection)
        # Since the last reading nobody may have written, not even this process: so at its first assignment.
        if ends != self._read_to:
            await self._read_states(stop)
            self._read_to = ends
        if not stop.is_set():
            self._complete.states_read(generation)

    async def _read_states(self, stop: threading.Event) -> None:
        started = time.monotonic()
        found = await asyncio.to_thread(snapshot.read, self._connection, lambda: not stop.is_set())
        self._table.clear()
        for row in found:
            self._table.put_row(row)
        metrics.PROJECTION_JOBS.set(len(self._table))
        log.info("states_read", jobs=len(found), seconds=round(time.monotonic() - started, 3))

    def _make_app(self, folder: Path) -> faust.App:
        app = make_app(self._group, self._topics, settings_of(self._access), folder, self._handle)
        self._publisher = Publisher(self._host, app, self._jobs_topic, self._group)

        async def assigned(_: Any, /, *given: Any, **__: Any) -> None:
            self._complete.assigned(partitions_of(given[0]))

        async def revoked(_: Any, /, *given: Any, **__: Any) -> None:
            self._complete.revoked(partitions_of(given[0]))

        app.on_partitions_assigned.connect(assigned)
        app.on_partitions_revoked.connect(revoked)
        return app

    async def _attend(self, app: faust.App, stop: threading.Event) -> None:
        """Read the states again when that is needed, and forget old jobs, until ``stop`` or until faust has failed."""
        evicted = time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(STEP_S)
            if app.crash_reason is not None:
                raise app.crash_reason
            if self._busy.locked():
                continue
            async with self._busy:
                await self._reload(stop)
                if time.monotonic() - evicted > EVICT_S:
                    evicted = time.monotonic()
                    await self._evict()

    async def _handle(self, records: Sequence[Record]) -> bool:
        """Fold the records and publish the states that changed; False when the service ends before the broker has
        them: then they are delivered again. Raises nothing but a cancellation."""
        stop = self._host.stop
        async with self._busy:
            await self._reload(stop)
            if not self._complete.loaded or self._publisher is None:
                return False
            folded = self._projector.fold(records)
            metrics.PROJECTION_JOBS.set(len(self._table))
            metrics.PROJECTION_RECORDS.labels("folded").inc(len(records) - folded.unknown - len(folded.refused))
            metrics.PROJECTION_RECORDS.labels("unknown").inc(folded.unknown)
            metrics.PROJECTION_RECORDS.labels("refused").inc(len(folded.refused))
            return await self._publisher.publish(folded, stop)

    async def _reload(self, stop: threading.Event) -> None:
        """Read the states again where another replica may have written some."""
        while not self._complete.loaded and not stop.is_set():
            try:
                await self._load(stop)
            except ClientError as e:
                log.warning("projection_waits", error=type(e).__name__, text=str(e))
                await asyncio.sleep(RETRY_S)

    async def _evict(self) -> None:
        """Forget jobs that are too old or too many, here and on ``render.jobs``."""
        gone = self._table.evict(self._forget_before_ms(self._options.keep_days), self._options.max_jobs)
        if gone and self._publisher is not None:
            log.info("jobs_forgotten", jobs=len(gone))
            await self._publisher.forget(gone)

    @staticmethod
    def _forget_before_ms(days: int) -> int:
        return int(time.time() * 1000) - days * DAY_MS

    def _watch(self, stop: threading.Event) -> None:
        """Look at the group's progress, and end the service when it makes none: not from the event loop, which may be
        what hangs."""
        by_tenant = self._host.settings.tenancy == "topic"
        while by_tenant and not (self._reads or stop.wait(CHECK_S)):
            pass  # Which topics tenants have is not known yet.
        progress = GroupProgress(self._host.settings, self._group, self._topics)
        stall = StallDetector(self._options.stall_s)
        look_again_at = time.monotonic() + METADATA_REFRESH_S
        while not stop.wait(CHECK_S):
            if by_tenant and time.monotonic() > look_again_at:
                look_again_at = time.monotonic() + METADATA_REFRESH_S
                self._end_for_new_tenants()
            started_ms = int(time.time() * 1000)
            found = progress.read()
            self._complete.broker_answers = found is not None
            if found is not None:
                self._complete.looked(*found, started_ms)
            if found is None or not self._complete.loaded:
                stall.reset()
            elif (reason := stall.stalled(*found, bool(self._complete.owned))) is not None:
                self._host.fail(reason)
        progress.close()
        if not self._ended.wait(END_S):
            log.critical("event_loop_hangs")
            os._exit(1)

    def _end_for_new_tenants(self) -> None:
        """End the service when a tenant has got topics of its own: a new process reads them from their beginning."""
        try:
            known = self._known_topics()
        except KafkaException:
            return
        events = [tenant_topic(EVENTS, tenant) for tenant in tenants_on(self._host.settings, known)]
        if new := sorted(set(map(self._host.settings.topic, events)) - self._events):
            self._host.fail(f"tenants have new topics: {', '.join(new)}")


def serve(settings: RuntimeSettings, options: ProjectionSettings) -> int:
    """Run the projection in the foreground until SIGTERM, SIGINT or a failure; returns the exit status."""
    host = ServiceHost(PROJECTION, PROJECTION, settings)
    return host.run(partial(ProjectionService, host, options))
