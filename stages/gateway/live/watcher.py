"""One watcher's queue: bounded, so that a slow client costs no memory and holds up nobody."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from stages.gateway.live.messages import Message

MAX_QUEUED = 256
"""Messages that wait for a client."""


class Watcher:
    """Messages for one client; used by the event loop alone."""

    def __init__(self, max_queued: int = MAX_QUEUED) -> None:
        self._queue: deque[Message] = deque()
        self._max_queued = max_queued
        self._changed = asyncio.Event()
        self._closed = False

    def start(self, messages: Iterable[Message]) -> None:
        """The first messages, however many: what the client has missed."""
        for message in messages:
            self._add(message)

    def put(self, message: Message) -> None:
        """Add a message. When the queue is full the oldest progress is dropped, as a later state holds it. Without any
        the stream is closed: the client comes back, and gets what it has missed."""
        if self._closed:
            return
        if len(self._queue) >= self._max_queued:
            dropped = next((one for one in self._queue if one.is_progress), None)
            if dropped is None:
                self._queue.clear()
                self.close()
                return
            self._queue.remove(dropped)
        self._add(message)

    def _add(self, message: Message) -> None:
        self._queue.append(message)
        self._changed.set()

    def close(self) -> None:
        """End the stream after what is queued."""
        self._closed = True
        self._changed.set()

    async def messages(self) -> AsyncIterator[Message]:
        """Every message, until the last one of the job, or until the stream is closed."""
        while True:
            while self._queue:
                message = self._queue.popleft()
                yield message
                if message.is_last:
                    return
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
