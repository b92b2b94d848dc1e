"""The age of the oldest record that a stage has not committed, on the real broker."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from prometheus_client import REGISTRY
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume import oldest_records
from shared.runtime.consume.oldest_records import READER, OldestRecords
from shared.runtime.consume.statistics import PartitionStatistics
from shared.runtime.kafka_config import UNLOGGED, reader_config
from shared.runtime.settings import RuntimeSettings
from shared.telemetry import clients
from tests.conftest import Infrastructure, create_topics

HOUR_MS = 3_600_000


@retry(retry=retry_if_exception_type(AssertionError), stop=stop_after_delay(60), wait=wait_fixed(0.05), reraise=True)
def eventually(check: Callable[[], bool]) -> None:
    assert check()


class Bench:
    """The gauge of `render.face` in its thread, and the records on that topic."""

    def __init__(self, servers: str, prefix: str) -> None:
        settings = RuntimeSettings(topic_prefix=prefix)
        create_topics(settings)
        self.topic = settings.topic("render.face")
        self.readers = 0
        self.clock = BrokerClock()
        self.stop = threading.Event()
        config = reader_config(settings, "t-oldest", "t.oldest") | READER

        def make() -> Any:
            self.readers += 1
            return clients.raw_consumer(config)

        self.oldest = OldestRecords(self.topic, make, self.clock)
        self.thread = threading.Thread(target=self.oldest.run, args=(self.stop,))
        self.thread.start()
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, **UNLOGGED})

    def send(self, partition: int) -> int:
        """Send a record; returns the broker's timestamp, milliseconds since the epoch."""
        reports: list[int] = []
        self._producer.produce(
            self.topic, b"x", b"k", partition, on_delivery=lambda _, m: reports.append(m.timestamp()[1])
        )
        self._producer.flush(60)
        return reports[0]

    def note(self, *committed: int, lag: int = 1) -> None:
        """The statistics of a client that owns the first partitions, with these committed offsets."""
        self.oldest.note(
            {
                (self.topic, str(number)): PartitionStatistics(committed_offset=offset, consumer_lag=lag, desired=True)
                for number, offset in enumerate(committed)
            }
        )

    @property
    def value(self) -> float | None:
        return REGISTRY.get_sample_value("lipstage_oldest_unprocessed_seconds", {"topic": self.topic})


@pytest.fixture
def bench(stack: Infrastructure, topic_prefix: str) -> Iterator[Bench]:
    made = Bench(stack.bootstrap_servers, topic_prefix)
    yield made
    made.stop.set()
    made.thread.join(60)


def test_age_is_that_of_the_oldest_uncommitted_record_by_the_brokers_clock(bench: Bench) -> None:
    assert bench.value == 0
    first, second, third = bench.send(0), bench.send(1), bench.send(0)
    bench.clock.reported(third + HOUR_MS, bench.clock.sent())  # An hour later, whatever the time here is.
    bench.note(0, 0)
    eventually(lambda: bench.oldest._oldest_ms == first)
    assert bench.value == pytest.approx(3600, abs=60)
    bench.note(1, 0)  # The first record is committed.
    eventually(lambda: bench.oldest._oldest_ms == second)
    bench.note(1, 1)
    eventually(lambda: bench.oldest._oldest_ms == third)
    bench.note(2, 1, lag=0)
    eventually(lambda: bench.value == 0)
    assert bench.readers == 1


def test_partition_that_was_drained_meanwhile_counts_as_empty(bench: Bench) -> None:
    bench.send(0)
    bench.note(1)
    eventually(lambda: bench.readers == 1 and bench.oldest._noted.empty())
    assert bench.value == 0


def test_idle_stage_makes_no_reader_and_other_partitions_are_not_read(bench: Bench) -> None:
    waiting = {"committed_offset": 0, "consumer_lag": 5}
    bench.oldest.note(
        {
            ("another", "0"): PartitionStatistics(**waiting, desired=True),
            (bench.topic, "1"): PartitionStatistics(**waiting),  # Another member owns it.
            (bench.topic, "2"): PartitionStatistics(consumer_lag=5, desired=True),  # Nothing is committed yet.
        }
    )
    eventually(bench.oldest._noted.empty)
    bench.note(0, lag=0)
    eventually(bench.oldest._noted.empty)  # The first report was handled.
    assert bench.readers == 0


def test_only_the_newest_report_is_read() -> None:
    """Else a reading that takes longer than the interval of reports would lag behind more and more."""
    oldest = OldestRecords("queued", lambda: None, BrokerClock())
    for offset in (1, 2, 3):
        oldest.note({("queued", "0"): PartitionStatistics(committed_offset=offset, consumer_lag=1, desired=True)})
    (newest,) = oldest._newest() or ()
    assert newest.offset == 3
    assert oldest._newest() is None


def test_failed_reading_keeps_the_last_value_and_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stop = BrokerClock(), threading.Event()
    failures: list[Exception] = [KafkaException(KafkaError(KafkaError._TRANSPORT)), RuntimeError("a bug")]
    clock.observe(HOUR_MS)

    def read(*_: object) -> int:
        raise failures.pop()

    oldest = OldestRecords("failing", lambda: SimpleNamespace(close=lambda: None), clock)
    monkeypatch.setattr(oldest, "_read", read)
    oldest._oldest_ms = 0
    thread = threading.Thread(target=oldest.run, args=(stop,))
    thread.start()
    for left in (1, 0):
        oldest.note({("failing", "0"): PartitionStatistics(committed_offset=0, consumer_lag=1, desired=True)})
        eventually(lambda left=left: len(failures) == left)
    assert oldest.age_s() >= 3600
    assert thread.is_alive()
    stop.set()
    thread.join(60)


class Answers:
    """A consumer that gives these answers: a message's timestamp, an error code, or None for no answer."""

    def __init__(self, *answers: int | KafkaError | None) -> None:
        self._answers = list(answers)

    def assign(self, _: object) -> None: ...
    def unassign(self) -> None: ...
    def poll(self, _: float) -> Any:
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            return None
        error = answer if isinstance(answer, KafkaError) else None
        stamp = 0 if error is not None else answer
        return SimpleNamespace(
            error=lambda: error, topic=lambda: "away", partition=lambda: 0, offset=lambda: 0, key=lambda: None,
            value=lambda: b"", headers=lambda: None, timestamp=lambda: (2, stamp),
        )  # fmt: skip


EOF = KafkaError(KafkaError._PARTITION_EOF)


@pytest.mark.parametrize(
    ("answers", "oldest_ms"),
    [
        ((), 7),
        ((KafkaError(KafkaError._TRANSPORT),), 7),
        ((KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), 9), 9),
        ((EOF,), None),
        ((9,), 9),
    ],
)
def test_value_stays_while_the_broker_does_not_answer(
    answers: tuple[int | KafkaError, ...], oldest_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end of a partition says that no record waits."""
    monkeypatch.setattr(oldest_records, "READ_S", 0.05)
    oldest = OldestRecords("away", lambda: None, BrokerClock())
    oldest._oldest_ms = 7
    assert oldest._read(Answers(*answers), [TopicPartition("away", 0, 0)], threading.Event()) == oldest_ms
