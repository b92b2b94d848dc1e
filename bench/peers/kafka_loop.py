"""A loop over confluent-kafka's consumer, as the first version of many pipelines: poll, work, poll.

By default librdkafka commits every 5 s what ``poll`` has returned, also a record that is still being worked on.
"""

import json
import os
from typing import Any

from confluent_kafka import Consumer, Producer

from bench.peers import work

TOPIC = os.environ.get("PEERS_TOPIC", "peers")
PARTITIONS = 4


def submit(jobs: list[dict[str, Any]]) -> None:
    """Send a record for each job, to the partitions in turns: unkeyed records sent at once would all go to one."""
    producer = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]})
    for number, job in enumerate(jobs):
        producer.produce(TOPIC, json.dumps(job).encode(), partition=number % PARTITIONS)
    producer.flush(30)


def main() -> None:
    """Work until the process is killed."""
    work.load()
    settings: dict[str, Any] = {"group.id": TOPIC, "auto.offset.reset": "earliest"}
    if work.is_reliable():
        settings |= {"enable.auto.commit": False, "group.protocol": "consumer"}
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], **settings})
    consumer.subscribe([TOPIC], on_assign=lambda *_: work.note("assigned"))
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        work.run(json.loads(message.value() or b""))
        if work.is_reliable():
            consumer.commit(message=message, asynchronous=False)


if __name__ == "__main__":
    main()
