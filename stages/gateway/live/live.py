"""Event streams of this process: a feed for all tenants, or one for each tenant that is watched."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog

from shared.client import Deployment
from shared.client.manifest import checked_batch_id
from stages.gateway.caller import Caller
from stages.gateway.live import ring
from stages.gateway.live.feed import Feed
from stages.gateway.live.limits import Place, Places
from stages.gateway.live.messages import Message
from stages.gateway.live.reader import Reader
from stages.gateway.live.snapshots import CallsClient
from stages.gateway.live.subjects import Subject
from stages.gateway.live.watcher import Watcher
from stages.gateway.problems import Problem

IDLE_S = 60.0
"""A tenant's own topic is read for so long after its last watcher has left, seconds: who returns misses nothing."""
log = structlog.get_logger()


class Stream:
    """The messages for one client. Close it, whatever happens: its place counts."""

    def __init__(self, feed: Feed, watcher: Watcher, subject: Subject[Any], place: Place) -> None:
        self._feed = feed
        self._watcher = watcher
        self._subject = subject
        self._place = place
        self._is_open = True

    def messages(self) -> AsyncIterator[Message]:
        """Every message until the last; fewer when the client is slow or this process ends: it then comes back with
        the position of the last message that it has."""
        return self._watcher.messages()

    def close(self) -> None:
        """The client has gone; safe to repeat."""
        if self._is_open:
            self._is_open = False
            self._feed.leave(self._subject, self._watcher)
            self._place.leave()


class Live:
    """What the routes ask for event streams; used by the event loop alone."""

    def __init__(
        self,
        calls: CallsClient,
        deployment: Deployment,
        places: Places,
        on_failure: Callable[[str], None],
    ) -> None:
        """``on_failure`` gets the reason when a thread that reads events dies. Begins to read at once, except where
        each tenant has a topic of its own."""
        self.places = places
        self._calls = calls
        self._deployment = deployment
        self._on_failure = on_failure
        self._feeds: dict[str | None, tuple[Feed, Reader]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False
        if not self._has_own_topics:
            self._feed(None)

    @property
    def _has_own_topics(self) -> bool:
        return self._deployment.runtime.tenancy == "topic"

    async def job(self, caller: Caller, job_id: str, after: str | None) -> Stream:
        """The stream of a job of the caller's tenant, from the position ``after`` on, or from the present state.

        Raises Problem TOO_MANY_WATCHERS, InvalidRequest, JobNotFound, BrokerUnreachable and what else `Client.job`
        does.
        """
        key = caller.job(job_id)
        return await self._open(caller, lambda feed, watcher: feed.watch_job(key, after, watcher))

    async def batch(self, caller: Caller, batch_id: str, after: str | None) -> Stream:
        """The stream of a batch, as ``job``."""
        checked = checked_batch_id(batch_id)
        return await self._open(caller, lambda feed, watcher: feed.watch_batch(caller.tenant, checked, after, watcher))

    async def _open(self, caller: Caller, watch: Callable[[Feed, Watcher], Awaitable[Subject[Any]]]) -> Stream:
        if self._is_closed:
            raise Problem(503, "UNREACHABLE", "this process of the gateway ends", retry_s=1)
        place = self.places.take(caller.tenant)
        feed, watcher = self._feed(caller.tenant if self._has_own_topics else None), Watcher()
        try:
            return Stream(feed, watcher, await watch(feed, watcher), place)
        except BaseException:
            place.leave()
            raise

    def _feed(self, tenant: str | None) -> Feed:
        if tenant not in self._feeds:
            feed = Feed(self._calls, tenant)
            self._feeds[tenant] = feed, Reader(self._deployment, tenant, feed, self._on_failure)
            if tenant is not None:
                task = asyncio.create_task(self._end_when_idle(tenant))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        return self._feeds[tenant][0]

    async def _end_when_idle(self, tenant: str) -> None:
        """Stop to read a tenant's topic that nobody has watched for ``IDLE_S``."""
        feed, reader = self._feeds[tenant]
        idle = False
        while not (idle and not feed.is_watched):
            idle = not feed.is_watched
            await asyncio.sleep(IDLE_S)
        del self._feeds[tenant]
        await asyncio.to_thread(reader.stop)

    async def close(self) -> None:
        """End every stream and every thread; clients come back, to another process."""
        self._is_closed = True
        for task in self._ending:
            task.cancel()
        feeds = list(self._feeds.values())
        for feed, _ in feeds:
            feed.close()
        await asyncio.gather(*(asyncio.to_thread(reader.stop) for _, reader in feeds))


def is_last(position: str | None) -> bool:
    """Whether nothing follows the message of this position."""
    return ring.is_last(position)
