"""A relay as a process, the retry topics of the test's own prefix, and what arrives on the topics of the stages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.local import ports
from shared.messages.delivery_headers import RETRY_CODE, RETRY_TOPIC
from shared.runtime.settings import RuntimeSettings
from tests.conftest import apply_topics

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Arrived:
    """A record on a topic, with the broker's timestamp."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


def until(true: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> Any:
    """The first true result; for conditions that other processes bring about."""
    turn, end = threading.Event(), time.monotonic() + wait_s
    while time.monotonic() < end:
        if result := true():
            return result
        turn.wait(0.05)
    raise AssertionError(f"not within {wait_s} s: {what}")


class Reader:
    """Reads topics from their beginning, without a group."""

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False}
        )
        self.records: list[Arrived] = []
        partitions = []
        for topic in topics:
            numbers = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
            partitions += [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        self._consumer.assign(partitions)

    def read(self, timeout: float = 0.1) -> list[Arrived]:
        """Everything so far."""
        while (message := self._consumer.poll(timeout)) is not None:
            timeout = 0.05
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF or not error.fatal(), error
                continue
            self.records.append(
                Arrived(message.topic(), message.partition(), message.offset(), message.key(), message.value(),
                        message.headers() or [], message.timestamp()[1])
            )  # fmt: skip
        return self.records

    def wait(self, count: int) -> list[Arrived]:
        """All records, once there are ``count``."""
        until(lambda: len(self.read()) >= count, f"{count} records; there are {len(self.records)}")
        return self.records

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Relay:
    """A relay's process."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def probe(self, path: str = "/readyz") -> str | None:
        """The reason of the probe; empty when it passes, None when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5):
                return ""
        except urllib.error.HTTPError as error:
            return str(json.load(error)["reason"])
        except OSError:
            return None

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def metric(self, line: str) -> float | None:
        """The value of one series; None when there is none, or no answer."""
        try:
            lines = self.metrics().splitlines()
        except OSError:
            return None
        found = [text for text in lines if text.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else None

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self.probe() == ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@dataclass
class Retries:
    """Topics with a prefix, and relays that serve them."""

    bootstrap_servers: str
    prefix: str
    folder: Path
    tiers: tuple[str, ...] = ("1s", "2s", "20s")
    relays: list[Relay] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = RuntimeSettings(
            bootstrap_servers=self.bootstrap_servers, topic_prefix=self.prefix, retry_tiers=self.tiers
        )
        apply_topics(self.settings)
        self.producer = Producer({"bootstrap.servers": self.bootstrap_servers, "partitioner": "murmur2_random"})
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        self._readers: list[Reader] = []

    def reader(self, *topics: str) -> Reader:
        """A reader of topics, named without the prefix."""
        reader = Reader(self.bootstrap_servers, [self.prefix + name for name in topics])
        self._readers.append(reader)
        return reader

    def start(self, **variables: str) -> Relay:
        """Start a relay."""
        (port,) = ports.pick(1)
        log = self.folder / f"relay-{len(self.relays)}.log"
        environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "LIPSTAGE_TOPIC_PREFIX": self.prefix,
            "LIPSTAGE_RETRY_TIERS": ",".join(self.tiers),
            "LIPSTAGE_HEALTH_PORT": str(port),
            **variables,
        }
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "shared.runtime", "relay"],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.relays.append(Relay(process, port, log))
        return self.relays[-1]

    def started(self, **variables: str) -> Relay:
        """Start a relay and wait until it is ready."""
        relay = self.start(**variables)
        until(relay.is_ready, "the relay is ready")
        return relay

    def headers(self, target: str = "render.face", *more: tuple[str, bytes | None]) -> list[tuple[str, bytes | None]]:
        """The headers of a record on a retry topic that returns to ``target``."""
        return [*more, (RETRY_TOPIC, (self.prefix + target).encode()), (RETRY_CODE, b"INTERNAL")]

    def put(
        self,
        tier: str,
        value: bytes | None,
        headers: Headers | None = None,
        key: bytes | None = b"job",
        partition: int | None = None,
    ) -> None:
        """Send a record to a retry topic; ``flush`` waits for it."""
        where = {} if partition is None else {"partition": partition}
        headers = self.headers() if headers is None else headers
        self.producer.produce(f"{self.prefix}render.retry.{tier}", value, key, headers=list(headers), **where)
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(WAIT_S) == 0

    def close(self) -> None:
        for relay in self.relays:
            relay.process.kill()
            relay.process.wait(WAIT_S)
        for reader in self._readers:
            reader.close()
