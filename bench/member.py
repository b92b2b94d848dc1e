"""A member of a consumer group whose tasks sleep: the real consumer loop, with slots that only wait and record.

    python -m bench.member '{"topic": ..., "group": ..., "protocol": "consumer"}'

Every line on stdout is one JSON event: ``assigned``, ``revoked``, ``lost`` with partitions; ``start``, ``end``,
``discarded`` with partition and offset. ``at`` is the monotonic clock, seconds. Warnings go to stderr. Ends on
SIGTERM, after its drain.
"""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, Producer, TopicPartition

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.consumer import OnPartitions
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.kafka_config import Protocol, consumer_config, producer_config
from shared.runtime.settings import RuntimeSettings
from shared.slot.limits import die_with_parent


@dataclass(frozen=True)
class Options:
    """What a member is started with."""

    topic: str
    group: str
    protocol: Protocol
    parent: int
    slots: int = 1
    pace: float = 1.0
    """Factor on the seconds that a record asks for: a slow machine."""
    drain_s: float = 20.0
    output: str = ""
    """Topic that a finished task is published to; none when empty."""
    metadata: str | None = None
    """Commit metadata of another version of the runtime, in place of this one's."""
    properties: tuple[tuple[str, str], ...] = ()
    """Further properties of the consumer."""


def emit(event: str, **fields: Any) -> None:
    """Write one event with one system call, so that it survives a SIGKILL whole."""
    os.write(1, (json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n").encode())


class ObservedConsumer:
    """The client; it records rebalances, and commits as another version would where the options say so."""

    def __init__(self, consumer: Any, metadata: str | None) -> None:
        self._consumer = consumer
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def subscribe(
        self, topics: list[str], on_assign: OnPartitions, on_revoke: OnPartitions, on_lost: OnPartitions
    ) -> None:
        def observed(event: str, callback: OnPartitions) -> OnPartitions:
            def call(consumer: Any, partitions: list[TopicPartition]) -> None:
                callback(consumer, partitions)
                emit(event, partitions=[p.partition for p in partitions])

            return call

        self._consumer.subscribe(
            topics,
            on_assign=observed("assigned", on_assign),
            on_revoke=observed("revoked", on_revoke),
            on_lost=observed("lost", on_lost),
        )

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> Any:
        if self._metadata is not None:
            offsets = [TopicPartition(p.topic, p.partition, p.offset, metadata=self._metadata) for p in offsets]
        return self._consumer.commit(offsets=offsets, asynchronous=asynchronous)


class SleepingSlots:
    """Slots that sleep as long as the record says, then publish, unless the partition is lost."""

    def __init__(self, options: Options, settings: RuntimeSettings, completions: Completions) -> None:
        self.count = options.slots
        self._options = options
        self._completions = completions
        self._threads = ThreadPoolExecutor(options.slots)
        self._producer = Producer(producer_config(settings, "member")) if options.output else None

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        self._threads.submit(self._work, record, assignment)

    def _work(self, record: Record, assignment: PartitionAssignment) -> None:
        place = {"partition": record.partition, "offset": record.offset}
        emit("start", **place)
        time.sleep(json.loads(record.value or b"0") * self._options.pace)
        held = assignment.may_publish()
        if held and self._producer is not None:
            self._producer.produce(self._options.output, key=f"{record.partition}:{record.offset}".encode())
            self._producer.flush()
        emit("end" if held else "discarded", **place)
        self._completions.put(Completion(record, assignment, settled=held))


def main() -> None:
    """Run one member until SIGTERM."""
    options = Options(**json.loads(sys.argv[1]))
    warnings_only = structlog.make_filtering_bound_logger("warning")
    structlog.configure(wrapper_class=warnings_only, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    die_with_parent(options.parent)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = RuntimeSettings()
    completions = Completions()
    slots = SleepingSlots(options, settings, completions)
    config = consumer_config(settings, "member", options.group, options.protocol) | dict(options.properties)
    consumer = ObservedConsumer(Consumer(config), options.metadata)
    barrier_s = settings.max_poll_interval_ms / 2000
    loop = ConsumerLoop(consumer, [options.topic], slots, completions, barrier_s)
    loop.run(stop, options.drain_s)
    emit("closed")
    # Not waited for: a slot may still sleep, and its record is delivered to another member.
    os._exit(0)


if __name__ == "__main__":
    main()
