"""Calls of the client library, which block, for the event loop: on a few threads, each with a client of its own."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from shared.client import Client, Deployment

NAME = "gateway"
Result = TypeVar("Result")
log = structlog.get_logger()


class Calls:
    """Runs calls on at most ``threads`` threads; a further call waits for its turn."""

    def __init__(self, deployment: Deployment, threads: int) -> None:
        self._deployment = deployment
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._clients: list[Client] = []

    async def __call__(self, work: Callable[[Client], Result]) -> Result:
        """The result of ``work``, which gets the thread's client; the trace of the caller is the current one there.

        A caller that is cancelled does not stop the work: what it began, it ends.
        """
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, self._run, work)

    def _run(self, work: Callable[[Client], Result]) -> Result:
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = Client(
                self._deployment, service_name=NAME, on_fallback=lambda line: log.info("projection_away", reason=line)
            )
            with self._lock:
                self._clients.append(client)
        return work(client)

    def close(self) -> None:
        """End the threads and the clients; waits for calls that run."""
        self._pool.shutdown(cancel_futures=True)
        for client in self._clients:
            client.close()
