"""States of jobs as they are now; many that are asked for at a time take a few scans, not one each.

After a restart of the gateway every watcher comes back at once, and without the projection each scan reads the newest
400 000 events.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from typing import Any, Protocol

from shared.client import Client, JobKey, JobState
from shared.client.batches import BatchState

AT_A_TIME = 4
"""Scans that run at a time: they share the threads with all other calls."""
MAX_JOBS = 50
"""Jobs of one scan: each is also looked up in the object store, and all wait for the last one."""


class CallsClient(Protocol):
    """Runs a call of the client library on a thread: `stages.gateway.calls.Calls`."""

    def __call__(self, work: Callable[[Client], Any]) -> Awaitable[Any]:
        """The result of ``work``."""


class Snapshots:
    """Reads states; used by the event loop alone."""

    def __init__(self, calls: CallsClient) -> None:
        self._calls = calls
        self._waiting: dict[JobKey, asyncio.Future[JobState]] = {}
        self._scans: set[asyncio.Task[None]] = set()

    async def job(self, key: JobKey) -> JobState:
        """The state of a job; each caller has its own. Raises JobNotFound and what else `Client.job` does."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if len(self._scans) < AT_A_TIME:
            scan = asyncio.create_task(self._scan())
            self._scans.add(scan)
            scan.add_done_callback(self._scans.discard)
        return (await asyncio.shield(future)).copy()

    async def batch(self, tenant: str, batch_id: str) -> BatchState:
        """The state of a batch. Raises JobNotFound and what else `Client.batch_state` does."""
        state: BatchState = await self._calls(lambda client: client.batch_state(batch_id, tenant=tenant))
        return state

    async def _scan(self) -> None:
        """Read what waits, until nothing does."""
        while self._waiting:
            taken = {key: self._waiting.pop(key) for key in list(islice(self._waiting, MAX_JOBS))}
            try:
                states = await self._calls(partial(Client.job_states, jobs=tuple(taken)))
            except Exception as e:  # noqa: BLE001 - each caller raises it
                states = dict.fromkeys(taken, e)
            for key, future in taken.items():
                if isinstance(states[key], BaseException):
                    future.set_exception(states[key])
                    future.exception()  # Those who asked may all have gone.
                else:
                    future.set_result(states[key])
