"""The unexpected end of a background thread is reported, whatever the cause."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import NoReturn

import pytest

from shared.runtime.failures import DeliveryFailed, EndsService
from shared.runtime.host.service_host import ServiceHost
from shared.runtime.producers import Producers
from shared.runtime.settings import RuntimeSettings
from shared.runtime.watched_thread import WatchedThread


def reason_of(target: object, stopped: bool = False) -> str | None:
    stop, reasons = threading.Event(), list[str]()
    if stopped:
        stop.set()
    thread = WatchedThread("worker", target, reasons.append, stop)  # type: ignore[arg-type]
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(reasons) < 2
    return reasons[0] if reasons else None


def raising(error: BaseException) -> object:
    def work() -> NoReturn:
        raise error

    return work


@pytest.mark.parametrize("error", [ValueError("bad"), RecursionError("bad"), SystemError("bad"), SystemExit("bad")])
def test_exception_is_reported_with_the_thread_name(error: BaseException) -> None:
    assert reason_of(raising(error)) == f"the thread worker failed: {type(error).__name__}: bad"


def test_return_before_stop_is_reported_as_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert reason_of(lambda: None) == "the thread worker ended unexpectedly"


def test_ends_service_reason_is_reported_unchanged() -> None:
    assert reason_of(raising(EndsService("there are no weights"))) == "there are no weights"


def test_exception_after_stop_is_no_failure() -> None:
    assert reason_of(raising(ValueError()), stopped=True) is None
    assert reason_of(lambda: None, stopped=True) is None


class Producer:
    """Accepts records; its poll fails, so that no delivery report is served."""

    def __init__(self) -> None:
        self.given = threading.Event()

    def produce(self, **_: object) -> None:
        self.given.set()

    def poll(self, _timeout: float) -> int:
        assert self.given.wait(30)
        raise SystemError("a callback failed")

    def flush(self, _timeout: float) -> int:
        return 0


def test_wait_for_a_delivery_report_ends_when_its_thread_dies() -> None:
    reasons: Queue[str] = Queue()
    traced, raw = Producer(), Producer()
    producers = Producers(traced, raw, reasons.put)
    delivery = producers.send("topic", b"key", b"value", [])
    with pytest.raises(DeliveryFailed, match="delivery reports"):
        delivery.wait()
    assert reasons.get(timeout=30) == "the thread reports-raw failed: SystemError: a callback failed"
    traced.given.set()
    producers.close()


class QuietProducer:
    """Has nothing to send and reports nothing."""

    def poll(self, timeout: float) -> int:
        threading.Event().wait(timeout)
        return 0

    def flush(self, _timeout: float) -> int:
        return 0


class Idle:
    """A workload without work."""

    def run(self, stop: threading.Event, drain_s: float) -> None:
        assert stop.is_set()

    def close(self) -> None: ...

    def abandon(self) -> bool:
        return False

    def live(self) -> str | None:
        return None

    def ready(self) -> str | None:
        return None


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceHost]:
    """A host without a broker; the handlers of signals are put back."""
    for name in ("raw_producer", "traced_producer"):
        monkeypatch.setattr(f"shared.runtime.host.service_host.clients.{name}", lambda *_: QuietProducer())
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield ServiceHost("audio", "audio", RuntimeSettings())
    for number, handler in before.items():
        signal.signal(number, handler)


def test_service_whose_thread_died_is_not_live_and_exits_with_the_reason(host: ServiceHost) -> None:
    host.thread_died("the thread cancellations failed: SystemError: x")
    host.thread_died("another one, because of the first")
    assert host.live(Idle()) == "the thread cancellations failed: SystemError: x"
    assert host.ready(Idle()) == host.live(Idle())
    assert host.stop.is_set()
    assert host.run(Idle) == 1


def test_signal_while_a_service_is_made_lets_it_close_what_it_made(host: ServiceHost, tmp_path: Path) -> None:
    file = tmp_path / "made"

    class Made(Idle):
        def __init__(self) -> None:
            file.touch()
            os.kill(os.getpid(), signal.SIGTERM)

        def close(self) -> None:
            file.unlink()

    assert host.run(Made) == 0
    assert not file.exists()
