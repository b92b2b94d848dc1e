"""A consumer loop in its own process, which a record kills: run as a module by test_crash_counts.

Arguments: brokers, topic, group, group protocol, slots, how many records it polls before it may die.
"""

import os
import signal
import sys
import threading
from typing import Any

from confluent_kafka import Consumer

from shared.runtime.consume.assignment import Completions, PartitionAssignment, Record
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.kafka_config import Protocol, consumer_config
from shared.runtime.settings import RuntimeSettings

DEADLY = b"deadly"


class CountingConsumer:
    """Kills the process when a deadly record runs and the loop has seen all the records of the test.

    By then every record that the loop starts beside the deadly one runs, too.
    """

    def __init__(self, consumer: Consumer, records: int) -> None:
        self._consumer = consumer
        self._records = records
        self.deadly_runs = False

    def poll(self, timeout: float) -> Any:
        if self.deadly_runs and self._records <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        message = self._consumer.poll(timeout)
        if message is not None and message.error() is None:
            self._records -= 1
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


class DoomedSlots:
    """Slots that never finish."""

    def __init__(self, count: int, consumer: CountingConsumer) -> None:
        self.count = count
        self._consumer = consumer

    def submit(self, record: Record, _assignment: PartitionAssignment) -> None:
        self._consumer.deadly_runs |= record.value == DEADLY


def main(brokers: str, topic: str, group: str, protocol: Protocol, slots: int, records: int) -> None:
    """Consume until killed."""
    config = consumer_config(RuntimeSettings(bootstrap_servers=brokers), "doomed", group, protocol)
    if protocol == "classic":
        config["session.timeout.ms"] = 6000
    consumer = CountingConsumer(Consumer(config), records)
    loop = ConsumerLoop(consumer, [topic], DoomedSlots(slots, consumer), Completions(), 0.0)
    loop.run(threading.Event(), 0.0)


if __name__ == "__main__":
    brokers, topic, group, protocol, slots, records = sys.argv[1:]
    main(brokers, topic, group, "consumer" if protocol == "consumer" else "classic", int(slots), int(records))
