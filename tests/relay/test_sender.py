"""The relay's producer: what the client refuses at once, and errors after which only a new client can go on."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.relay.sender import Sender

FATAL = KafkaError(KafkaError._FATAL, "as the client reports it: fatal() is false")


class Message:
    def __init__(self, kind: int = TIMESTAMP_LOG_APPEND_TIME) -> None:
        self._kind = kind

    def timestamp(self) -> tuple[int, int]:
        return self._kind, 1_000


class Client:
    """A producer that refuses the given records at once, and reports the others when it is polled."""

    def __init__(self, *refusals: Exception) -> None:
        self._refusals: Iterator[Exception] = iter(refusals)
        self.answer: tuple[KafkaError | None, Message] = None, Message()
        self.produced: list[str] = []
        self._callbacks: list[Callable[..., None]] = []

    def produce(self, *, topic: str, on_delivery: Callable[..., None], **_: Any) -> None:
        for refusal in self._refusals:
            raise refusal
        self.produced.append(topic)
        self._callbacks.append(on_delivery)

    def poll(self, _: float) -> None:
        while self._callbacks:
            self._callbacks.pop()(*self.answer)


def sender(client: Client) -> tuple[Sender, BrokerClock]:
    clock = BrokerClock()
    return Sender(client, clock, "render.clock"), clock


@pytest.mark.parametrize(
    "refusal", [KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC)), BufferError()], ids=["missing", "full"]
)
def test_time_is_asked_for_again_after_the_client_refused_to_ask(refusal: Exception) -> None:
    """As while ``render.clock`` is missing: the relay must go on when it is there."""
    client = Client(refusal)
    one, clock = sender(client)
    one.probe()
    assert client.produced == []
    one.probe()
    one.probe()
    assert client.produced == ["render.clock"], "asked once at a time"
    one.serve()
    assert clock.is_fresh


def test_fatal_error_ends_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[KafkaError | None] = []
    one, _ = sender(Client(KafkaException(FATAL)))
    with pytest.raises(KafkaException):
        one.send("t", 0, b"", b"", (), reports.append)
    client = Client()
    one, _ = sender(client)
    client.answer = FATAL, Message()
    one.send("t", 0, b"", b"", (), reports.append)
    with pytest.raises(KafkaException):
        one.serve()
    assert reports == [], "the record is neither settled nor sent again"


def test_clock_topic_with_the_time_of_producers_tells_no_time() -> None:
    client = Client()
    one, clock = sender(client)
    client.answer = None, Message(TIMESTAMP_CREATE_TIME)
    one.probe()
    one.serve()
    assert clock.now_ms() is None
    assert one.lacks_broker_time
    client.answer = None, Message()
    one.probe()
    one.serve()
    assert not one.lacks_broker_time
