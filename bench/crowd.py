"""A crowd of connections that all ask the gateway for an event stream, and stay open: who gets one, and who is refused.

Part of `bench.gateway`. Plain sockets: a client library for each would cost more than what is measured.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

OPENING = 200
"""Connections that are being opened at a time: less than a listening socket lets wait."""
ANSWER_S = 60.0
"""A connection that has no answer by then counts as one without, seconds."""


class Crowd:
    """Connections to ``url``, each with a request for the events of a job."""

    def __init__(self, url: str, job_id: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = f"GET /v1/renders/{job_id}/events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        self._request = head.encode()
        self._writers: list[asyncio.StreamWriter] = []
        self.answers: Counter[str] = Counter()
        """HTTP status, or why there was none -> connections."""

    async def open(self, count: int) -> None:
        """Open so many, and wait for the head of every answer."""
        turn = asyncio.Semaphore(OPENING)

        async def one() -> None:
            async with turn:
                self.answers[await self._answer()] += 1

        await asyncio.gather(*(one() for _ in range(count)))

    async def _answer(self) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                self._writers.append(writer)
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError, TimeoutError) as e:
            return type(e).__name__
        status = head.split()[1].decode()
        return status if status == "200" or b"\r\nretry-after:" in head.lower() else f"{status} without Retry-After"

    async def close(self) -> None:
        """Leave, all at once."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()


async def crowd(
    url: str,
    job_id: str,
    count: int,
    submit: Callable[[], Awaitable[dict[str, Any]]],
    watch: Callable[[], Awaitable[None]],
) -> dict[str, Any]:
    """Figures of ``count`` connections: their answers, what a submit takes beside them, and when a watcher gets a
    place again after they have left. ``watch`` returns when it has its first message."""
    many = Crowd(url, job_id)
    begun = time.monotonic()
    await many.open(count)
    opened_s = time.monotonic() - begun
    try:
        figures = {"connections": count, "answers": dict(many.answers), "opened_s": round(opened_s, 1)}
        figures["submit_beside"] = await submit()
    finally:
        await many.close()
    begun = time.monotonic()
    await watch()
    return figures | {"place_after_s": round(time.monotonic() - begun, 2)}
