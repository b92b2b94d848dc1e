"""Cancel commands: whom they concern, and how long they are kept."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.messages.topics import topics
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.cancellations import Cancellations

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
TASKS_S = int(topics("", ("sonic",))[0].config["retention.ms"]) / 1000


class Clock:
    """The clock that the module reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr("shared.runtime.consume.cancellations.time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def take(cancellations: Cancellations, key: bytes, value: bytes | None) -> None:
    cancellations._take(Record("render.cancel", 0, 0, key, value, [], 1))


def cancel(cancellations: Cancellations, job: str) -> None:
    take(cancellations, job.encode(), json.dumps({"tenant": "default"}).encode())


@pytest.mark.parametrize(
    ("key", "value", "cancelled"),
    [
        (b"acme/j", b'{"tenant": "acme"}', ("acme", "j")),
        (b"acme/j", b"{}", ("acme", "j")),
        (b"j", b'{"tenant": "acme"}', ("acme", "j")),
        (b"j", b"{}", ("default", "j")),
    ],
)
def test_cancel_command_names_the_tenant_in_key_or_value(key: bytes, value: bytes, cancelled: tuple[str, str]) -> None:
    cancellations = Cancellations(None, "render.cancel")
    take(cancellations, key, value)
    assert [of for of in (("acme", "j"), ("default", "j"), ("other", "j")) if cancellations.has(*of)] == [cancelled]


def test_cancel_command_that_names_two_tenants_is_ignored() -> None:
    cancellations = Cancellations(None, "render.cancel")
    take(cancellations, b"acme/j", b'{"tenant": "other"}')
    assert not cancellations.has("acme", "j")
    assert not cancellations.has("other", "j")


def test_tombstone_withdraws_the_cancel_of_its_key() -> None:
    cancellations = Cancellations(None, "render.cancel")
    for key in (b"acme/j", b"other/j", b"acme/k"):
        take(cancellations, key, b"{}")
    take(cancellations, b"acme/j", None)
    assert [cancellations.has("acme", "j"), cancellations.has("other", "j")] == [False, True]
    take(cancellations, b"j", None)
    assert [cancellations.has("other", "j"), cancellations.has("acme", "k")] == [False, True]


def test_cancel_is_kept_as_long_as_its_job_can_be_delivered(clock: Clock) -> None:
    cancellations = Cancellations(None, "render.cancel")
    cancel(cancellations, "queued")
    clock.now += 12 * HOUR_S * 5
    cancel(cancellations, "another")
    assert cancellations.has("default", "queued")
    clock.now += TASKS_S
    cancel(cancellations, "a third")
    assert cancellations.has("default", "queued"), "its segment is deleted with its newest record"
    clock.now += 2 * TASKS_S
    cancel(cancellations, "the last")
    assert [job for job in ("queued", "another", "a third", "the last") if cancellations.has("default", job)] == [
        "the last"
    ]


def test_new_service_reads_cancels_from_the_horizon(clock: Clock) -> None:
    requested: list[TopicPartition] = []

    class Consumer:
        def list_topics(self, topic: str, timeout: float) -> Any:
            return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None})})

        def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
            return 0, 5

        def offsets_for_times(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
            requested.extend(TopicPartition(p.topic, p.partition, p.offset) for p in partitions)
            return partitions

        def assign(self, partitions: list[TopicPartition]) -> None:
            pass

    Cancellations(Consumer(), "render.cancel")._assign()
    (partition,) = requested
    assert partition.offset <= (clock.now - TASKS_S - DAY_S) * 1000


def test_fatal_error_of_the_client_ends_the_thread() -> None:
    """The client reports it under a code of its own, and then ``fatal()`` is false."""
    cancellations = Cancellations(None, "render.cancel")
    with pytest.raises(KafkaException):
        cancellations._on_error(KafkaError(KafkaError._FATAL, "the client has failed"))
