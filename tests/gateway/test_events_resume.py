"""Watchers that come back: they get what they have missed, or the present state; an end that they have ends them."""

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from shared.client.errors import BrokerUnreachable
from shared.local import broker, ports
from stages.gateway.live.ring import Record, Ring, is_last
from tests.client.services import Services
from tests.conftest import Infrastructure
from tests.gateway.watching import Gateway, Place, path_of, place, watched


@pytest.fixture(scope="module")
def there(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(stack, tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(there: Place) -> Gateway:
    return there.gateway()


def test_a_watcher_that_comes_back_gets_what_came_after_its_last_message(there: Place, gateway: Gateway) -> None:
    events = there.services
    events.event("accepted", "j", engine="puppet")
    with gateway.client() as client:
        with watched(client, path_of("j")) as messages:
            first = next(messages)
            events.event("started", "j", stage="audio")
            started = next(messages)
        # Nobody watches now.
        events.event("accepted", "other", engine="puppet")
        events.event("progress", "j", stage="audio", percent=50.0, done=1, total=2)
        # Once a later one has arrived, it is in the gateway's memory.
        with watched(client, path_of("j")) as another:
            next(another)
            events.event("progress", "j", stage="audio", percent=60.0, done=2, total=2)
            assert any(message.data["event"]["percent"] == 60.0 for message in another)
        with watched(client, path_of("j"), started.id) as messages:
            missed = [next(messages) for _ in range(2)]
            assert [(m.type, m.data["event"]["percent"]) for m in missed] == [("progress", 50.0), ("progress", 60.0)]
            events.event("finished", "j", stage="audio", seconds=1.0)
            assert next(messages).type == "finished"
        with watched(client, path_of("j"), first.id) as messages:
            assert [next(messages).type for _ in range(4)] == ["started", "progress", "progress", "finished"]
        events.done("j")
        with watched(client, path_of("j"), missed[-1].id) as messages:
            rest = list(messages)
        assert [(m.type, m.status) for m in rest] == [("finished", "done"), ("done", "done")]
        assert client.get(path_of("j"), headers={"last-event-id": rest[-1].id}).status_code == 204


@pytest.mark.parametrize("position", ["0123456789ab-5", "x", "-", "0123456789ab-99999999999999999999", "é"])
def test_a_position_of_no_message_gets_the_present_state(there: Place, gateway: Gateway, position: str) -> None:
    there.services.event("accepted", "k", engine="puppet")
    there.services.event("started", "k", stage="audio")
    headers = {"last-event-id": position.encode()}
    with gateway.client() as client, client.stream("GET", path_of("k"), headers=headers) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        assert "event: state" in (next(lines), next(lines))


def test_a_watcher_of_a_gateway_that_is_killed_and_started_again_ends_with_the_right_state(there: Place) -> None:
    events = there.services
    events.event("accepted", "r", engine="puppet")
    (port,) = ports.pick(1)  # None of the kernel's, which another program could get between the two.
    killed = there.gateway(LIPSTAGE_GATEWAY_PORT=str(port))
    with killed.client() as client, watched(client, path_of("r")) as messages:
        assert next(messages).status == "accepted"
        events.event("started", "r", stage="audio")
        last = next(messages)
        killed.stop(signal.SIGKILL)
    events.event("finished", "r", stage="audio", seconds=1.0)  # No gateway runs.
    again = there.gateway(LIPSTAGE_GATEWAY_PORT=str(port))
    assert again.port == killed.port == port
    with again.client() as client, watched(client, path_of("r"), last.id) as messages:
        state = next(messages)
        assert (state.type, state.data["render"]["stages"]["audio"]["state"]) == ("state", "finished")
        events.done("r")
        assert [(m.type, m.status) for m in messages] == [("done", "done")]
    # An end that the gateway before has sent ends the watcher here, too.
    with again.client() as client:
        assert client.get(path_of("r"), headers={"last-event-id": "0123456789ab-7-end"}).status_code == 204


def test_streams_stay_open_while_the_broker_is_away(there: Place, gateway: Gateway, stack: Infrastructure) -> None:
    there.services.event("accepted", "away", engine="puppet")
    with gateway.client() as client, watched(client, path_of("away")) as messages:
        assert next(messages).status == "accepted"
        programs = stack.stack.supervisor().programs()
        os.kill(next(program.pid for program in programs if program.name == broker.NAME), signal.SIGKILL)
        until = time.monotonic() + 120
        while True:
            try:
                there.connection.check(store=False)
                break
            except BrokerUnreachable:
                assert time.monotonic() < until
        again = Services(there.connection)
        again.event("started", "away", stage="audio")
        # Not `done`: of that end the object store knows, which the gateway asks when it hears nothing for a while.
        again.event("failed", "away", stage="audio", code="INTERNAL", message="m", attempt=1)
        assert [m.type for m in messages] == ["started", "failed"]


# The ring alone.


def filled(ring: Ring, count: int, keys: int = 3) -> list[str]:
    positions = []
    for number in range(count):
        ring.append(Record(f"job-{number % keys}".encode(), b"value"))
        positions.append(ring.position())
    return positions


def test_the_ring_keeps_the_newest_records_and_knows_what_it_has_dropped() -> None:
    ring = Ring(max_records=10)
    positions = filled(ring, 25)
    kept = [ring.number_of(position) for position in positions]
    assert kept == [None] * 14 + list(range(15, 26)), "after the 15th nothing is missing"
    numbers = [record.number for job in range(3) for record in ring.of_job(f"job-{job}")]
    assert sorted(numbers) == list(range(16, 26))
    assert all(a.number < b.number for a, b in pairwise(ring.of_job("job-0")))
    assert ring.of_job("nobody") == []


def test_the_ring_keeps_a_bounded_number_of_bytes() -> None:
    ring = Ring(max_bytes=100)
    for _ in range(5):
        ring.append(Record(b"job", b"x" * 37))
    assert len(ring.of_job("job")) == 2
    ring.append(Record(b"job", b"x" * 1000))
    assert ring.of_job("job") == []


def test_positions_of_another_run_or_from_before_a_gap_are_not_known() -> None:
    ring, other = Ring(), Ring()
    (position,) = filled(ring, 1)
    filled(other, 5)
    assert ring.number_of(position) == 1
    assert other.number_of(position) is None
    assert ring.number_of(position.replace("-1", "-2")) is None, "it has not been given out yet"
    ring.restart()
    assert ring.number_of(position) is None


def test_the_last_position_is_known_by_every_process() -> None:
    assert is_last(Ring().position(is_last=True))
    assert not any(is_last(position) for position in (Ring().position(), "", None, "x-end", "-end"))
