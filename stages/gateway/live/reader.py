"""The thread that reads the events of all tenants, or of one, from the present end on."""

import asyncio
import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from shared.client import Deployment, event_log, topic_log
from shared.client.connection import Connection
from shared.client.errors import ClientError
from shared.client.event_reader import EventReader
from shared.runtime.watched_thread import WatchedThread
from stages.gateway.calls import NAME
from stages.gateway.live.feed import Feed
from stages.gateway.live.ring import Record

POLL_S = 0.1
RETRY_S = 1.0
"""Between two attempts to find the end of the topic, seconds."""
MAX_RECORDS = 200
"""Records that are passed to the event loop at once: it serves others in between."""
MAX_PASSED = 8
"""Such groups that wait for the event loop; the reader then waits, too."""
log = structlog.get_logger()


class Reader:
    """Passes every record to the feed, in the event loop. A broker that goes away is waited for."""

    def __init__(
        self, deployment: Deployment, tenant: str | None, feed: Feed, on_failure: Callable[[str], None]
    ) -> None:
        """``tenant`` is whose own topic is read; None: the shared one. ``on_failure`` gets the reason when the thread
        dies by a fault of ours."""
        self._deployment = deployment
        self._tenant = tenant
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._places = threading.Semaphore(MAX_PASSED)
        self._thread = WatchedThread("events", self._run, on_failure, self._stop)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it; the event loop must not wait here."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = Connection(self._deployment, NAME)
        try:
            while not self._stop.is_set():
                try:
                    self._follow(connection)
                except (ClientError, KafkaException) as e:
                    log.warning("events_unreadable", tenant=self._tenant, reason=str(e))
                    self._call(self._feed.failed, e)
                    self._stop.wait(RETRY_S)
        finally:
            connection.close()

    def _follow(self, connection: Connection) -> None:
        """Read until the stop. Raises ClientError, KafkaException."""
        reader = EventReader(connection, event_log.end(connection, self._tenant), self._tenant)
        try:
            self._call(self._feed.started)
            while not self._stop.is_set():
                records = self._read(reader)
                if records and self._takes_place():
                    self._call(self._deliver, records)
        finally:
            reader.close()

    def _read(self, reader: EventReader) -> list[Record]:
        """The next records; none when none arrives within ``POLL_S``."""
        records: list[Record] = []
        message = reader.poll(POLL_S)
        while message is not None:
            records.append(Record(topic_log.key_of(message) or b"", topic_log.value_of(message) or b""))
            message = reader.poll(0) if len(records) < MAX_RECORDS else None
        return records

    def _takes_place(self) -> bool:
        """Wait until the event loop is not far behind; False when the service ends."""
        while not self._places.acquire(timeout=POLL_S):
            if self._stop.is_set():
                return False
        return True

    def _deliver(self, records: list[Record]) -> None:
        self._places.release()
        self._feed.deliver(records)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(function, *arguments)
