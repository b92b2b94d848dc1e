"""The projection as a service: reads the states, runs the faust app and the answers in one event loop, and watches."""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
import structlog
from confluent_kafka import KafkaException

from shared.client.connection import Connection
from shared.client.deployment import Deployment
from shared.client.errors import ClientError
from shared.messages.pipeline import PROJECTION
from shared.messages.topics import DAY_MS, EVENTS, JOBS, REQUESTS
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.failures import SERVICE_FAULTS
from shared.runtime.host.health import NOT_READY
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.telemetry import metrics
from stages.gateway.projection import snapshot
from stages.gateway.projection.answers import Answers
from stages.gateway.projection.broker_access import broker_access, settings_of
from stages.gateway.projection.faust_app import make_app, partitions_of
from stages.gateway.projection.group_progress import GroupProgress, Place, StallDetector
from stages.gateway.projection.http_server import HttpServer
from stages.gateway.projection.job_table import JobTable
from stages.gateway.projection.projector import Projector
from stages.gateway.projection.settings import ProjectionSettings

CHECK_S = 1.0
"""Interval of the check of the group's progress, seconds."""
EVICT_S = 60.0
RETRY_S = 1.0
LOOP_SILENT_S = 60.0
"""An event loop that has not run for this time hangs, seconds."""
DRAIN_S = 10.0
"""How long faust may take to stop, seconds."""
END_S = 3 * DRAIN_S
"""After this time the process ends although its event loop has not, seconds."""
log = structlog.get_logger()


class ProjectionService:
    """The workload of the projection."""

    def __init__(self, host: ServiceHost, options: ProjectionSettings) -> None:
        settings = host.settings
        self._host = host
        self._options = options
        self._group = settings.group(PROJECTION)
        self._topics = (settings.topic(EVENTS), settings.topic(REQUESTS))
        self._jobs_topic = settings.topic(JOBS)
        # Settings that the client can't apply are an error of the start, not of the first connection.
        self._access = broker_access(base(settings, PROJECTION))
        self._connection = Connection(Deployment(runtime=settings), PROJECTION)
        self._table = JobTable()
        self._projector = Projector(self._table, settings.topic(REQUESTS))
        self._app: faust.App | None = None
        self._missing: list[str] = []
        self._broker_answers = False
        self._owned: set[Place] = set()
        self._all: set[Place] = set()
        self._loaded = False
        self._target: dict[Place, int] | None = None
        """Ends of the partitions at the first look after the states were read; up to there the answers are not those of
        all events."""
        self._caught_up = False
        self._lag: int | None = None
        self._checked_ms = 0
        self._starting = True
        self._turn = time.monotonic()
        self._ended = threading.Event()
        self._abandoned = False
        self._busy = asyncio.Lock()
        """Held by what changes the table."""

    def run(self, stop: threading.Event, drain_s: float) -> None:  # noqa: ARG002 - a fold takes milliseconds
        """Fold and answer until ``stop``."""
        if self._access.ignored:
            log.info("properties_ignored", names=list(self._access.ignored))
        self._host.start_thread("progress", self._watch)
        with tempfile.TemporaryDirectory(prefix="lipstage-projection-") as folder:
            try:
                asyncio.run(self._run(stop, Path(folder)))
            finally:
                self._ended.set()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def live(self) -> str | None:
        """The reason to kill this process; None when it is live."""
        silent = time.monotonic() - self._turn
        return f"the event loop has made no step for {silent:.0f} s" if silent > LOOP_SILENT_S else None

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it is: then its answers are those of the events."""
        if not self._broker_answers:
            return "the broker does not answer"
        if self._missing:
            return f"{NOT_READY}missing topics: {', '.join(self._missing)}"
        if not self._owned:
            return "the consumer group has not been joined"
        if self._owned != self._all and self._all:
            return f"{NOT_READY}another replica reads {len(self._all - self._owned)} of {len(self._all)} partitions"
        if not self._loaded:
            return "the states of the jobs are being read"
        return None if self._caught_up else f"{self._lag or 'some'} records are still to be read"

    def position(self) -> dict[str, Any]:
        """What the answers are made of: number of jobs, records not committed at the last check, and why it is not
        ready."""
        return {
            "jobs": len(self._table),
            "lag": self._lag,
            "checked_ms": self._checked_ms,
            "not_ready": self.ready(),
        }

    async def _run(self, stop: threading.Event, folder: Path) -> None:
        server = HttpServer(Answers(self._table, self._options, self.position))
        port = await server.start(self._options.host, self._options.port)
        log.info("projection_answers", host=self._options.host, port=port)
        beat = asyncio.create_task(self._beat())
        app: faust.App | None = None
        try:
            await self._prepare(stop)
            if not stop.is_set():
                app = self._app = self._make_app(folder)
                await app.start()
                evicted = time.monotonic()
                # While a fold is busy, a stop waits for its publication, or for its first failure.
                while not stop.is_set() or (self._busy.locked() and not self._abandoned):
                    await asyncio.sleep(0.1)
                    if not self._loaded and not self._busy.locked():
                        async with self._busy:
                            await self._reload(stop)
                    if app.crash_reason is not None:
                        raise app.crash_reason
                    if time.monotonic() - evicted > EVICT_S and not self._busy.locked():
                        evicted = time.monotonic()
                        async with self._busy:
                            await self._evict()
        finally:
            self._owned = set()
            await server.close()
            if self._abandoned:
                log.error("service_stopped", failure="states could not be published: they are delivered again")
                os._exit(1)
            if app is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(app.stop(), DRAIN_S)
            beat.cancel()

    async def _beat(self) -> None:
        while True:
            self._turn = time.monotonic()
            await asyncio.sleep(1.0)

    async def _prepare(self, stop: threading.Event) -> None:
        """Wait for the topics, and start over when no state is kept: whatever the group has committed."""
        while not stop.is_set():
            try:
                self._missing = await asyncio.to_thread(self._missing_topics)
                if not self._missing:
                    await self._load(stop)
                    if not self._table and await asyncio.to_thread(
                        snapshot.start_over, self._connection, self._group, self._topics
                    ):
                        log.warning("projection_starts_over", group=self._group)
                    return
            except (ClientError, KafkaException) as e:
                log.warning("projection_waits", error=type(e).__name__, text=str(e))
            await asyncio.sleep(RETRY_S)

    def _missing_topics(self) -> list[str]:
        consumer = self._connection.consumer()
        try:
            known = consumer.list_topics(timeout=10).topics
        finally:
            consumer.close()
        self._broker_answers = True
        return [name for name in (*self._topics, self._jobs_topic) if name not in known]

    async def _load(self, stop: threading.Event) -> None:
        """Read every state from ``render.jobs``, in place of those in memory. Raises ClientError."""
        self._loaded = self._caught_up = False
        started = time.monotonic()
        found = await asyncio.to_thread(snapshot.read, self._connection, lambda: not stop.is_set())
        self._table.clear()
        for record, value in found.values():
            self._table.put(record, value)
        self._loaded = not stop.is_set()
        metrics.PROJECTION_JOBS.set(len(self._table))
        log.info("states_read", jobs=len(found), seconds=round(time.monotonic() - started, 3))

    def _make_app(self, folder: Path) -> faust.App:
        app = make_app(self._group, self._topics, settings_of(self._access), folder, self._handle)

        async def assigned(_: Any, /, *given: Any, **__: Any) -> None:
            (partitions,) = given
            new = partitions_of(partitions)
            if not self._starting and new - self._owned:
                # Another replica has written states of these jobs since they were read here.
                self._loaded = self._caught_up = False
            self._owned, self._starting = new, False

        async def revoked(_: Any, /, *given: Any, **__: Any) -> None:
            (partitions,) = given
            self._owned = self._owned - partitions_of(partitions)

        app.on_partitions_assigned.connect(assigned)
        app.on_partitions_revoked.connect(revoked)
        return app

    async def _handle(self, records: Sequence[Record]) -> None:
        """Fold the records and publish the states that changed; on return the broker has them. Raises nothing but a
        cancellation: what can't be published is tried again until the service ends, and is then delivered again."""
        async with self._busy:
            await self._reload(self._host.stop)
            await self._fold(records, self._host.stop)

    async def _fold(self, records: Sequence[Record], stop: threading.Event) -> None:
        folded = self._projector.fold(records)
        metrics.PROJECTION_JOBS.set(len(self._table))
        metrics.PROJECTION_RECORDS.labels("folded").inc(len(records) - folded.unknown - len(folded.refused))
        metrics.PROJECTION_RECORDS.labels("unknown").inc(folded.unknown)
        metrics.PROJECTION_RECORDS.labels("refused").inc(len(folded.refused))
        for record, reason in folded.refused:
            log.error("dead_letter", code=reason.code, failure_class=reason.failure_class, partition=record.partition,
                      offset=record.offset)  # fmt: skip
            while not await self._dead_letter(record, reason):
                await self._end_unless_running(stop)
        left: dict[bytes, bytes | None] = {snapshot.record_key(key): value for key, value in folded.changed.items()}
        while not await self._publish(left):
            await self._end_unless_running(stop)

    async def _dead_letter(self, record: Record, reason: FailureReason) -> bool:
        """Whether the broker has the dead letter."""
        try:
            await asyncio.to_thread(
                send_dead_letter, self._host.producers, self._host.settings.topic_prefix, record, reason,
                stage=PROJECTION, group=self._group, attempts=1,
            )  # fmt: skip
        except SERVICE_FAULTS as e:
            await self._pause(e)
            return False
        metrics.DEAD_LETTERS.labels(PROJECTION, reason.code).inc()
        return True

    async def _end_unless_running(self, stop: threading.Event) -> None:
        """Once the service ends: wait for that, and return never. Records that were handed out and not published must
        not be committed, and faust commits them when it is stopped."""
        if stop.is_set():
            self._abandoned = True
            await asyncio.Event().wait()

    async def _reload(self, stop: threading.Event) -> None:
        """Read the states again after another replica may have written some."""
        while not self._loaded and not stop.is_set():
            try:
                await self._load(stop)
            except ClientError as e:
                await self._pause(e)

    async def _publish(self, states: dict[bytes, bytes | None]) -> bool:
        """Whether the broker has every state. ``states`` keeps those that it has not."""
        assert self._app is not None
        try:
            sends = [(key, await self._app.producer.send(self._jobs_topic, key, value, None, None, None))
                     for key, value in states.items()]  # fmt: skip
        except Exception as e:  # noqa: BLE001 - aiokafka raises errors of many kinds; none must reach the agent
            await self._pause(e)
            return False
        results = await asyncio.gather(*(future for _, future in sends), return_exceptions=True)
        failed = [one for one in results if isinstance(one, BaseException)]
        for (key, _), result in zip(sends, results, strict=True):
            if not isinstance(result, BaseException):
                del states[key]
        if failed:
            await self._pause(failed[0])
        return not states

    async def _pause(self, error: BaseException) -> None:
        log.warning("projection_retries", error=type(error).__name__)
        await asyncio.sleep(RETRY_S)

    async def _evict(self) -> None:
        """Forget jobs that are too old or too many, here and on ``render.jobs``."""
        before_ms = int(time.time() * 1000) - self._options.keep_days * DAY_MS
        gone = self._table.oldest_ended(before_ms, self._options.max_jobs)
        for key in gone:
            self._table.remove(key)
        if gone:
            log.info("jobs_forgotten", jobs=len(gone))
            # A tombstone that is lost costs a row until the next start.
            await self._publish({snapshot.record_key(key): None for key in gone})

    def _watch(self, stop: threading.Event) -> None:
        """Read the group's progress, and end the service when it makes none."""
        progress = GroupProgress(self._host.settings, self._group, self._topics)
        stall = StallDetector(self._options.stall_s)
        while not stop.wait(CHECK_S):
            started_ms = int(time.time() * 1000)
            read = progress.read()
            self._broker_answers = read is not None
            if read is None:
                stall.reset()
                continue
            committed, ends = read
            self._all = set(ends)
            self._lag = sum(max(0, end - committed[place]) for place, end in ends.items())
            self._checked_ms = started_ms
            if not self._loaded:
                stall.reset()
                self._target = None
            elif (reason := stall.stalled(committed, ends)) is not None:
                self._host.fail(reason)
            else:
                target = self._target = self._target or ends
                self._caught_up = all(committed[place] >= end for place, end in target.items())
        progress.close()
        if not self._ended.wait(END_S):
            log.critical("event_loop_hangs")
            os._exit(1)


def serve(settings: RuntimeSettings, options: ProjectionSettings) -> int:
    """Run the projection in the foreground until SIGTERM, SIGINT or a failure; returns the exit status."""
    host = ServiceHost(PROJECTION, PROJECTION, settings)
    return host.run(ProjectionService(host, options))
