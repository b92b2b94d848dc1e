"""Many watchers, limits, slow clients, and a projection that is away, restarted or wrong."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import cimpl

from bench import gateway as bench
from shared.access import api_keys
from shared.client.connection import Connection
from shared.client.job_key import JobKey
from shared.messages.topics import EVENTS, JOBS
from stages.gateway.live.limits import Places
from stages.gateway.live.messages import Message as Sent
from stages.gateway.live.watcher import Watcher
from stages.gateway.problems import Problem
from stages.gateway.projection.snapshot import record_key
from tests.conftest import Infrastructure
from tests.gateway.watching import Gateway, Lines, Place, path_of, place, watched
from tests.projection.conftest import started as projections

MANY = 200


@pytest.fixture(scope="module")
def there(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(stack, tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(there: Place) -> Gateway:
    return there.gateway()


async def _follow(client: httpx.AsyncClient, job: str, connected: asyncio.Semaphore) -> list[str]:
    """The types of the messages of a stream."""
    types, lines = [], Lines()
    async with client.stream("GET", path_of(job)) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            message = lines.add(line)
            if message is not None:
                types.append(message.type)
                if len(types) == 1:
                    connected.release()
    return types


def test_two_hundred_watchers_get_every_change_and_the_end(there: Place, gateway: Gateway) -> None:
    events = there.services
    jobs = [f"job-{number}" for number in range(10)]
    for job in jobs:
        events.event("accepted", job, engine="puppet")

    async def watch() -> list[list[str]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60, limits=limits, trust_env=False) as client:
            connected = asyncio.Semaphore(0)
            watchers = [asyncio.create_task(_follow(client, jobs[n % len(jobs)], connected)) for n in range(MANY)]
            for _ in range(MANY):
                await connected.acquire()

            def publish() -> None:
                for job in jobs:
                    events.event("started", job, stage="audio")
                    events.event("failed", job, stage="audio", code="INTERNAL", message="m")

            await asyncio.to_thread(publish)
            return await asyncio.gather(*watchers)

    assert asyncio.run(watch()) == [["state", "started", "failed"]] * MANY


def test_a_small_run_of_the_benchmark_loses_nothing(there: Place) -> None:
    gateway = there.gateway(LIPSTAGE_GATEWAY_MAX_WATCHERS_PER_TENANT="50")
    with there.client as client:
        figures = asyncio.run(bench.load(client, gateway.url, watchers=5, submits=20, at_a_time=4, connections=300))
    assert (figures["requests_lost"], figures["watchers_without_end"]) == (0, 0)
    assert figures["messages"] >= 5 * 3
    assert figures["crowd"]["answers"] == {"200": 50, "429": 250}, "the others are refused, and come back later"
    assert set(figures["submit"]["ms"]) == {"p50", "p95", "p99"} and figures["ratio_to_library"] > 0


def test_watchers_beyond_the_limits_are_refused_politely_and_a_place_is_given_back(
    there: Place, tmp_path: Path
) -> None:
    keys, texts = zip(*(api_keys.make(tenant, "user") for tenant in ("acme", "bolt", "core")), strict=True)
    file = tmp_path / "keys.jsonl"
    api_keys.write(file, keys)
    gateway = there.gateway(LIPSTAGE_GATEWAY_KEYS_FILE=str(file), LIPSTAGE_GATEWAY_MAX_WATCHERS="3",
                            LIPSTAGE_GATEWAY_MAX_WATCHERS_PER_TENANT="2")  # fmt: skip
    for tenant in ("acme", "bolt", "core"):
        there.services.event("accepted", "mine", engine="puppet", tenant=tenant)
    acme, bolt, core = (gateway.client(text) for text in texts)

    def refused(client: httpx.Client) -> int:
        answer = client.get(path_of("mine"))
        assert answer.json()["code"] == "TOO_MANY_WATCHERS" and int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code

    with acme, bolt, core:
        assert gateway.client().get(path_of("mine")).status_code == 401
        with watched(acme, path_of("mine")) as one, watched(acme, path_of("mine")) as two:
            assert next(one).data["render"]["tenant"] == next(two).data["render"]["tenant"] == "acme"
            assert refused(acme) == 429
            assert gateway.measured("lipstage_gateway_event_streams") == 2
            with watched(bolt, path_of("mine")) as three:
                assert next(three).data["render"]["tenant"] == "bolt"
                assert refused(core) == 503
                for reason in ("tenant", "gateway"):
                    assert gateway.measured("lipstage_gateway_event_streams_refused_total", reason=reason) == 1
                there.services.event("failed", "mine", tenant="bolt", stage="audio", code="INTERNAL", message="m")
                assert [m.status for m in three] == ["failed"], "the events of the tenant's job, and of no other"
            with watched(core, path_of("mine")) as four:
                assert next(four).status == "accepted"
        # The client has gone: the gateway notices, and the place is free.
        for _ in range(100):
            with acme.stream("GET", path_of("mine")) as response:
                if response.status_code == 200:
                    break
        assert response.status_code == 200


def test_the_state_is_right_while_the_projection_is_restarted_rebuilt_and_fed_garbage(
    there: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", there.connection.settings.topic_prefix)
    events = there.services
    events.event("accepted", "long", engine="puppet", labels={"name": "anna"})
    with projections(tmp_path) as started:
        running = started.start()
        running.wait_folded()
        gateway = there.gateway(LIPSTAGE_PROJECTION_URL=running.url)
        _until(gateway, "from the projection")
        with gateway.client() as client, watched(client, path_of("long")) as messages:
            assert next(messages).data["render"]["labels"] == {"name": "anna"}
            running.stop(9)
            _until(gateway, "slower")
            events.event("started", "long", stage="audio")
            assert next(messages).status == "running"
            with watched(client, path_of("long")) as others:
                assert next(others).status == "running", "without the projection the events are scanned"
            _feed_garbage(there.connection)
            again = started.start(wait=False, LIPSTAGE_PROJECTION_PORT=running.url.rpartition(":")[2])
            again.url = running.url
            again.wait_folded()
            _until(gateway, "from the projection")
            events.event("finished", "long", stage="audio", seconds=1.0)
            assert next(messages).data["render"]["stages"]["audio"]["state"] == "finished"
            with watched(client, path_of("long")) as others:
                assert next(others).data["render"]["stages"]["audio"]["state"] == "finished"
            events.done("long")
            assert [m.status for m in messages] == ["done"]
        assert gateway.ready()["ok"] is True


def _feed_garbage(connection: Connection) -> None:
    """Records that are no events and no states; and without its states the projection is rebuilt."""
    producer = cimpl.Producer({"bootstrap.servers": connection.settings.bootstrap_servers,
                               "partitioner": "murmur2_random"})  # fmt: skip
    key = record_key(JobKey("default", "long"))
    for value in (b"", b"{", b"\xff", json.dumps({"type": "done", "job_id": "long"}).encode()):
        producer.produce(connection.topic(EVENTS), value, b"long")
        producer.produce(connection.topic(JOBS), value, key)
    producer.produce(connection.topic(JOBS), None, key)
    assert producer.flush(10) == 0


def _until(gateway: Gateway, source: str) -> None:
    """Until the gateway reports where states come from."""
    until = time.monotonic() + 60
    while source not in gateway.ready().get("job_state", ""):  # It may not be ready yet.
        assert time.monotonic() < until, gateway.ready()
        time.sleep(0.05)


def test_without_a_projection_readyz_says_so(gateway: Gateway) -> None:
    ready = gateway.ready()
    assert ready["ok"] is True
    assert "LIPSTAGE_PROJECTION_URL is not set" in ready["job_state"]


# A watcher alone.


def sent(kind: str, number: int, *, is_last: bool = False) -> Sent:
    return Sent(f"run-{number}", kind, {}, is_last)


def taken(watcher: Watcher, count: int | None = None) -> list[tuple[str, str]]:
    async def take() -> list[tuple[str, str]]:
        found = []
        async for message in watcher.messages():
            found.append((message.type, message.position))
            if len(found) == count:
                break
        return found

    return asyncio.run(take())


def test_progress_is_dropped_first_for_a_slow_watcher() -> None:
    watcher = Watcher(max_queued=3)
    for number, kind in enumerate(("started", "progress", "progress", "progress", "finished")):
        watcher.put(sent(kind, number))
    watcher.put(sent("failed", 5, is_last=True))
    assert taken(watcher) == [("started", "run-0"), ("finished", "run-4"), ("failed", "run-5")]


def test_a_watcher_that_is_too_slow_is_closed_and_gets_nothing_out_of_order() -> None:
    watcher = Watcher(max_queued=2)
    for number in range(3):
        watcher.put(sent("started", number))
    watcher.put(sent("failed", 3, is_last=True))
    assert taken(watcher) == []


def test_places_are_counted_by_tenant_and_in_all() -> None:
    places = Places(3, 2)
    held = [places.take("a"), places.take("a"), places.take("b")]
    for tenant, status in (("a", 503), ("c", 503)):
        with pytest.raises(Problem) as refused:
            places.take(tenant)
        assert (refused.value.status, refused.value.code) == (status, "TOO_MANY_WATCHERS")
    held[2].leave()
    held[2].leave()
    assert places.taken == 2
    with pytest.raises(Problem) as refused:
        places.take("a")
    assert refused.value.status == 429
    places.take("c")
