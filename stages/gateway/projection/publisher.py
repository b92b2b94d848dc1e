"""Publishes what a fold has changed: states on ``render.jobs``, unreadable records on ``render.dlq``."""

import asyncio
import threading
from collections.abc import Awaitable, Mapping

import faust
import structlog

from shared.client.job_key import JobKey
from shared.messages.pipeline import PROJECTION
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.failures import SERVICE_FAULTS
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.telemetry import metrics
from stages.gateway.projection.projector import Folded
from stages.gateway.projection.snapshot import record_key

RETRY_S = 1.0
log = structlog.get_logger()


class Publisher:
    """Sends by the faust app's producer, and dead letters as every service does. For the app's event loop."""

    def __init__(self, host: ServiceHost, app: faust.App, topic: str, group: str) -> None:
        """``topic`` is the full name of ``render.jobs``, ``group`` the consumer group that dead letters name."""
        self._host = host
        self._app = app
        self._topic = topic
        self._group = group

    async def publish(self, folded: Folded, stop: threading.Event) -> bool:
        """Send everything until the broker has it; False when the service ends before. Raises nothing."""
        for record, reason in folded.refused:
            log.error(
                "dead_letter",
                code=reason.code,
                failure_class=reason.failure_class,
                partition=record.partition,
                offset=record.offset,
            )
            while not await self._dead_letter(record, reason):
                if stop.is_set():
                    return False
        left: dict[bytes, bytes | None] = {record_key(key): value for key, value in folded.changed.items()}
        while not await self._send(left):
            if stop.is_set():
                return False
        return True

    async def forget(self, jobs: list[JobKey]) -> None:
        """Delete states. One that is not deleted costs a row until the next start."""
        await self._send(dict.fromkeys(map(record_key, jobs)))

    async def _dead_letter(self, record: Record, reason: FailureReason) -> bool:
        """Whether the broker has the dead letter."""
        try:
            await asyncio.to_thread(
                send_dead_letter,
                self._host.producers,
                self._host.settings.topic_prefix,
                record,
                reason,
                stage=PROJECTION,
                group=self._group,
                attempts=1,
            )
        except SERVICE_FAULTS as e:
            await _pause(e)
            return False
        metrics.DEAD_LETTERS.labels(PROJECTION, reason.code).inc()
        return True

    async def _send(self, states: dict[bytes, bytes | None]) -> bool:
        """Whether the broker has every state; ``states`` keeps those that it has not."""
        try:
            sends = {key: await self._app.producer.send(self._topic, key, value, None, None, None)
                     for key, value in states.items()}  # fmt: skip
        except Exception as e:  # noqa: BLE001 - aiokafka raises errors of many kinds; none must reach the agent
            await _pause(e)
            return False
        failed = await _failures(sends)
        for key in sends.keys() - failed.keys():
            del states[key]
        for error in list(failed.values())[:1]:
            await _pause(error)
        return not states


async def _failures(sends: Mapping[bytes, Awaitable[object]]) -> dict[bytes, BaseException]:
    results = await asyncio.gather(*sends.values(), return_exceptions=True)
    return {key: one for key, one in zip(sends, results, strict=True) if isinstance(one, BaseException)}


async def _pause(error: BaseException) -> None:
    log.warning("projection_retries", error=type(error).__name__)
    await asyncio.sleep(RETRY_S)
