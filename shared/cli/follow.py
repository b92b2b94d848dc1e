"""One job's events as they come, until the one that ends it."""

import time
from collections.abc import Callable, Iterator

from confluent_kafka import TopicPartition

from shared.cli.connection import Connection
from shared.cli.errors import CliError
from shared.cli.events import POLL_S, Position, parse
from shared.messages.events import ENDS, AnyEvent

SILENCE_S = 15.0


class StillRunning(CliError):
    """The time the user allowed is over; the job goes on."""


def follow(
    connection: Connection,
    job_id: str,
    start: Position,
    timeout_s: float | None = None,
    on_silence: Callable[[], None] | None = None,
) -> Iterator[AnyEvent]:
    """Yield the job's events from ``start`` on; the last is done, rejected or failed.

    ``on_silence`` is called once when the first event takes longer than ``SILENCE_S``: perhaps no service runs. A
    broker that goes away and comes back is waited for: librdkafka reconnects and reads on where it was. Raises
    StillRunning after ``timeout_s`` seconds.
    """
    consumer = connection.consumer()
    silent_from: float | None = time.monotonic()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        consumer.assign([TopicPartition(start.topic, start.partition, start.offset)])
        while True:
            message = consumer.poll(POLL_S)
            if message is not None and message.error() is None:
                event = parse(message.value())
                if event is not None and event.job_id == job_id:
                    silent_from = None
                    yield event
                    if event.type in ENDS:
                        return
            if silent_from is not None and time.monotonic() - silent_from > SILENCE_S:
                silent_from = None
                if on_silence is not None:
                    on_silence()
            if deadline is not None and time.monotonic() > deadline:
                raise StillRunning(
                    f"job {job_id} is not finished after {timeout_s:g} s; it goes on",
                    f"look again with `lipstage watch {job_id}`",
                )
    finally:
        consumer.close()
