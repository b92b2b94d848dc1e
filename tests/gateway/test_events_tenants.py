"""Event streams where each tenant has topics of its own: each watcher gets the events of its tenant, and no other's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from shared.access import api_keys
from shared.client.connection import Connection
from shared.messages.tenant_topics import tenant_topic
from shared.messages.topics import EVENTS
from tests.client.events import event
from tests.conftest import apply_topics
from tests.gateway.conftest import Gateway, problem, start
from tests.gateway.watching import path_of, watched

TENANTS = ("north", "south")
WITHOUT_TOPICS = "east"


@pytest.fixture
def publish(quiet: Connection) -> Any:
    """Publishes an event on a tenant's own topic; it may name another tenant."""
    settings = quiet.settings.model_copy(update={"tenancy": "topic", "tenant_partitions": 1})
    apply_topics(settings, TENANTS)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})

    def publish(on: str, kind: str, job: str, **fields: Any) -> None:
        body = event(kind, job, **{"tenant": on} | fields).model_dump(mode="json")
        producer.produce(settings.topic(tenant_topic(EVENTS, on)), json.dumps(body), job)
        assert producer.flush(30) == 0

    return publish


@pytest.fixture
def own(quiet: Connection, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of such a deployment."""
    made = {tenant: api_keys.make(tenant, "user") for tenant in (*TENANTS, WITHOUT_TOPICS)}
    file = tmp_path / "keys.jsonl"
    api_keys.write(file, [key for key, _ in made.values()])
    keys = {tenant: text for tenant, (_, text) in made.items()}
    gateway = start(tmp_path, keys, LIPSTAGE_TENANCY="topic", LIPSTAGE_TOPIC_PREFIX=quiet.settings.topic_prefix,
                    LIPSTAGE_GATEWAY_KEYS_FILE=str(file))  # fmt: skip
    yield gateway
    gateway.stop()


def test_a_watcher_gets_the_events_of_its_tenants_own_topic(publish: Any, own: Gateway) -> None:
    for tenant in TENANTS:
        publish(tenant, "accepted", "shared-name", engine="puppet", labels={"of": tenant})
    publish("south", "accepted", "of-south", engine="puppet")
    with own.client("north") as north, own.client("south") as south:
        problem(north.get(path_of("of-south")), 404, "JOB_NOT_FOUND")
        with watched(north, path_of("shared-name")) as a, watched(south, path_of("shared-name")) as b:
            assert [next(one).data["render"]["labels"] for one in (a, b)] == [{"of": tenant} for tenant in TENANTS]
            # What one tenant writes of the other one's job is on its own topic, which speaks for no one else.
            publish("south", "failed", "shared-name", tenant="north", stage="audio", code="INTERNAL", message="m")
            publish("south", "started", "shared-name", stage="audio", time_ms=2000)
            publish("north", "started", "shared-name", stage="face", time_ms=2000)
            assert [next(one).data["event"]["stage"] for one in (a, b)] == ["face", "audio"]
            for tenant, code in zip(TENANTS, ("CRASH_LOOP", "INTERNAL"), strict=True):
                publish(tenant, "failed", "shared-name", stage="face", code=code, message="m", time_ms=3000)
            assert [[m.data["event"]["code"] for m in one] for one in (a, b)] == [["CRASH_LOOP"], ["INTERNAL"]]
    with own.client(WITHOUT_TOPICS) as client:
        problem(client.get(path_of("shared-name")), 503, "TOPIC_MISSING")
