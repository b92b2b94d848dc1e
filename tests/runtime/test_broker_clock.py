"""The broker's time as a lower bound, whatever happens to either clock."""

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from shared.runtime.broker_clock import DRIFT, FRESH_S, REFRESH_S, BrokerClock
from shared.runtime.producers import Delivery


class Appended:
    """A record that was delivered."""

    def __init__(self, timestamp_ms: int) -> None:
        self._timestamp_ms = timestamp_ms

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_LOG_APPEND_TIME, self._timestamp_ms

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


class Clocks:
    """This machine's monotonic clock and the broker's clock, milliseconds; each may be changed alone."""

    def __init__(self) -> None:
        self.own_s, self.broker_ms = 100.0, 1_700_000_000_000.0
        self.clock = BrokerClock(lambda: self.own_s)

    def passes(self, seconds: float, broker_speed: float = 1.0) -> None:
        self.own_s += seconds
        self.broker_ms += seconds * 1000 * broker_speed

    def probe(self, there_s: float = 0.0, back_s: float = 0.0) -> None:
        sent_at = self.clock.sent()
        self.passes(there_s)
        stamp = int(self.broker_ms)
        self.passes(back_s)
        self.clock.reported(stamp, sent_at)

    def error_ms(self) -> float:
        """Known minus real time of the broker; positive is early."""
        now_ms = self.clock.now_ms()
        assert now_ms is not None
        return now_ms - self.broker_ms


def test_time_is_unknown_before_the_first_report() -> None:
    clock = BrokerClock()
    assert (clock.now_ms(), clock.is_fresh, clock.is_stale) == (None, False, True)


def test_time_is_never_ahead_of_the_broker() -> None:
    clocks = Clocks()
    for there_s, back_s in ((0.0, 0.0), (0.4, 0.0), (0.0, 0.7), (3.0, 2.0)):
        clocks.probe(there_s, back_s)
        for seconds in (0.0, 0.0007, 1.5, 60):
            clocks.passes(seconds, broker_speed=1 - DRIFT)
            assert clocks.error_ms() <= 0
    clocks.probe()
    assert clocks.error_ms() >= -2, "and right after a report it is exact"


def test_slow_report_does_not_set_the_time_back() -> None:
    clocks = Clocks()
    clocks.probe()
    clocks.probe(there_s=0.1, back_s=4.0)
    assert -10 < clocks.error_ms() <= 0


def test_clock_of_the_broker_that_is_set_back_is_followed() -> None:
    clocks = Clocks()
    clocks.probe()
    clocks.passes(1)
    clocks.broker_ms -= 3_600_000
    clocks.probe()
    assert -2 <= clocks.error_ms() <= 0


def test_clock_of_the_broker_that_is_set_forward_is_followed() -> None:
    clocks = Clocks()
    clocks.probe()
    clocks.broker_ms += 3_600_000
    assert clocks.error_ms() < -3_000_000
    clocks.probe()
    assert -2 <= clocks.error_ms() <= 0


def test_report_is_fresh_and_then_stale_by_its_age() -> None:
    clocks = Clocks()
    clocks.probe()
    assert (clocks.clock.is_fresh, clocks.clock.is_stale) == (True, False)
    clocks.passes(FRESH_S + 0.1)
    assert (clocks.clock.is_fresh, clocks.clock.is_stale) == (False, False)
    clocks.passes(REFRESH_S)
    assert (clocks.clock.is_fresh, clocks.clock.is_stale) == (False, True)


def test_consumed_records_tell_the_time_before_the_first_report_only() -> None:
    """Records that the broker wrote before its clock was set back must expire no job."""
    clocks = Clocks()
    clocks.clock.observe(int(clocks.broker_ms) - 5_000)
    clocks.clock.observe(int(clocks.broker_ms) - 9_000)
    assert clocks.error_ms() == -5_000
    ahead = int(clocks.broker_ms) + 3_600_000
    clocks.clock.observe(ahead)
    clocks.probe()
    clocks.clock.observe(ahead)
    assert -2 <= clocks.error_ms() <= 0
    assert clocks.clock.is_fresh


def test_report_of_a_producer_follows_a_clock_that_was_set_back() -> None:
    clock = BrokerClock()
    for timestamp_ms in (2_000_000, 1_000_000):
        Delivery(clock=clock).reported(None, Appended(timestamp_ms))
    assert clock.now_ms() in range(1_000_000, 1_010_000)
