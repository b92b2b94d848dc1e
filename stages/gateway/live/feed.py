"""The events of all tenants, or of one, and who watches what of them; the event loop alone uses it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from confluent_kafka import KafkaException

from shared.client import JobKey
from shared.client.errors import BrokerUnreachable, ClientError
from stages.gateway.live.ring import Record, Ring
from stages.gateway.live.snapshots import CallsClient, Snapshots
from stages.gateway.live.subjects import BatchSubject, JobSubject, Name, Subject, batch_name, job_name
from stages.gateway.live.watcher import Watcher

START_S = 10.0
"""How long a watcher waits for the reader to find the end of the topic, seconds."""
SILENCE_S = 10.0
"""After this long without an event the object store is asked whether the job has ended, seconds."""
MAX_SILENCE_S = 80.0
"""It is asked half as often each time, down to this: a queued job may wait for hours."""
log = structlog.get_logger()


class Feed:
    """Subjects that are watched, by their name."""

    def __init__(self, calls: CallsClient, tenant: str | None) -> None:
        """``tenant`` is whose own topic the events come from: they speak for no other one."""
        self._calls = calls
        self._snapshots = Snapshots(calls)
        self._tenant = tenant
        self._ring = Ring()
        self._subjects: dict[Name, Subject[Any]] = {}
        self._tasks: dict[Subject[Any], asyncio.Task[None]] = {}
        """Of each subject: it is read, then its silence is watched."""
        self._has_answered = asyncio.Event()
        self._fault: Exception | None = None
        self._is_reading = False

    @property
    def is_watched(self) -> bool:
        """Whether there are watchers, or some are about to be."""
        return bool(self._subjects)

    # From the reader.

    def started(self) -> None:
        """The reader reads from the present end on."""
        self._is_reading, self._fault = True, None
        self._has_answered.set()

    def failed(self, error: Exception) -> None:
        """The reader can't read, and records may be missed until it starts again."""
        self._fault = error
        self._has_answered.set()
        if self._is_reading:
            self._is_reading = False
            self._ring.restart()
            self.close()
            self._subjects.clear()

    def deliver(self, records: Iterable[Record]) -> None:
        """New records, in their order."""
        for record in records:
            self._ring.append(record)
            for subject in self._concerned(record):
                subject.take(record)

    def _concerned(self, record: Record) -> list[Subject[Any]]:
        """The subjects that are watched and may get the record."""
        if not self._subjects:
            return []
        event = record.event
        if event is None or self._tenant not in (None, event.tenant):
            return []
        names = [job_name(JobKey(event.tenant, event.job_id))]
        names += [batch_name(event.tenant, event.batch.id)] if event.batch is not None else []
        return [self._subjects[name] for name in names if name in self._subjects]

    # From the routes.

    async def watch_job(self, key: JobKey, after: str | None, watcher: Watcher) -> Subject[Any]:
        """Have the watcher get what came after the position, or the present state, and every change from then on.

        Raises JobNotFound and what else `Client.job` does; BrokerUnreachable, TopicMissing when the events can't be
        read.
        """
        return await self._watch(job_name(key), lambda: JobSubject(key, self._ring), after, watcher)

    async def watch_batch(self, tenant: str, batch_id: str, after: str | None, watcher: Watcher) -> Subject[Any]:
        """As ``watch_job``, of all jobs of a batch."""
        name = batch_name(tenant, batch_id)
        return await self._watch(name, lambda: BatchSubject(tenant, batch_id, self._ring), after, watcher)

    async def _watch(
        self, name: Name, make: Callable[[], Subject[Any]], after: str | None, watcher: Watcher
    ) -> Subject[Any]:
        await self._reading()
        subject = self._subjects.get(name)
        if subject is None:
            subject = self._subjects[name] = make()
            task = self._tasks[subject] = asyncio.create_task(self._keep(subject))
            task.add_done_callback(lambda _: self._tasks.pop(subject, None))
        subject.holders += 1
        try:
            # One watcher that leaves does not end the reading for the others.
            await asyncio.shield(subject.loaded)
        except BaseException:
            self.leave(subject, watcher)
            raise
        watcher.start(subject.first(after))
        subject.watchers.add(watcher)
        if self._subjects.get(name) is not subject:  # Records were missed meanwhile.
            watcher.close()
        return subject

    async def _reading(self) -> None:
        """Return once no event is missed any more. Raises ClientError."""
        try:
            async with asyncio.timeout(START_S):
                await self._has_answered.wait()
        except TimeoutError:
            raise BrokerUnreachable("the broker has not answered yet") from None
        if isinstance(self._fault, ClientError):
            raise self._fault
        if isinstance(self._fault, KafkaException):
            raise BrokerUnreachable(f"the broker does not answer: {self._fault.args[0]}")

    async def _keep(self, subject: Subject[Any]) -> None:
        """Read the state; then ask the object store whenever the subject is silent."""
        try:
            subject.load(await subject.read(self._snapshots))
        except Exception as e:  # noqa: BLE001 - each watcher raises it
            self._forget(subject)
            subject.loaded.set_exception(e)
            subject.loaded.exception()  # Those who waited may all have gone.
            return
        subject.loaded.set_result(None)
        wait_s = SILENCE_S
        while subject.holders and not subject.has_ended:
            changes = subject.changes
            await asyncio.sleep(wait_s)
            if subject.changes != changes:
                wait_s = SILENCE_S
                continue
            try:
                subject.learn(await self._calls(subject.ends))
            except ClientError as e:
                log.debug("end_unknown", reason=str(e))
            wait_s = min(2 * wait_s, MAX_SILENCE_S)

    def leave(self, subject: Subject[Any], watcher: Watcher) -> None:
        """The watcher has gone; with the last one the subject is forgotten."""
        subject.watchers.discard(watcher)
        subject.holders -= 1
        if not subject.holders:
            self._forget(subject)
            if subject.loaded.done() and subject in self._tasks:
                self._tasks[subject].cancel()

    def _forget(self, subject: Subject[Any]) -> None:
        if self._subjects.get(subject.name) is subject:
            del self._subjects[subject.name]

    def close(self) -> None:
        """End all streams: their clients come back."""
        for subject in self._subjects.values():
            for watcher in subject.watchers:
                watcher.close()
