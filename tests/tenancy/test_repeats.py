"""Retries and replays of a tenant's requests return to the tenant's own topics, and to no other topic of the tenant."""

import pytest

from shared.client import Deployment
from shared.client.connection import Connection
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.dead_letters.resending import StagesByTopic, outgoing
from shared.client.dead_letters.rewriting import Rewritten
from shared.client.errors import InvalidDeployment
from shared.messages.delivery_headers import RETRY_TOPIC
from shared.messages.tenant_signature import HEADERS, SIGNATURE, TAKEN, TENANT, SigningKey
from shared.runtime.consume.assignment import Record
from shared.runtime.failures import InvalidRecord
from shared.runtime.relay.destination import Destinations
from tests.tenancy.senders import ACME, signature

PREFIX = "p."


def retry(topic: str) -> Record:
    return Record("p.render.retry.10s", 0, 0, b"job", b"{}", [(RETRY_TOPIC, topic.encode())], 1)


@pytest.mark.parametrize("topic", ["p.render.requests.acme", "p.render.requests.acme.bulk", "p.render.requests"])
def test_request_returns_to_the_topic_that_it_came_from(topic: str) -> None:
    destinations = Destinations(PREFIX)
    assert destinations.topic(retry(topic)) == topic
    assert (destinations.is_keyed(topic), destinations.is_of_engine(topic)) == (True, False)
    assert StagesByTopic(PREFIX).of(topic) == "audio"


@pytest.mark.parametrize(
    "topic", ["p.render.events.acme", "p.render.cancel.acme", "render.requests.acme", "p.render.requests.a.b", "p.x"]
)
def test_record_returns_to_no_topic_that_takes_no_requests(topic: str) -> None:
    with pytest.raises(InvalidRecord):
        Destinations(PREFIX).topic(retry(topic))
    assert StagesByTopic(PREFIX).of(topic) is None


def replayed(monkeypatch: pytest.MonkeyPatch, *keys: SigningKey, changed: bool = False) -> list[str]:
    """The headers of signatures that a replay of acme's request has, in a deployment of signed records."""
    monkeypatch.setenv("LIPSTAGE_TENANCY", "signed")
    connection = Connection(Deployment())
    vars(connection)["signing_keys"] = keys
    sent = [*signature("request", "acme", b"job", b"{}", 3600.0), (TAKEN, b"proof")]
    new = Rewritten(b"job", b"{ }" if changed else b"{}", sent, changed)
    headers = outgoing(connection, DeadLetter(0, 0, 1, b"job", b"{}", sent), new, "render.requests", 1, "acme").headers
    return [name for name, _ in headers if name in HEADERS]


def test_replay_without_a_key_keeps_signature_and_proof_unless_it_changes_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(replayed(monkeypatch)) == HEADERS
    assert set(replayed(monkeypatch, SigningKey("beta/k1", b"b" * 32))) == HEADERS
    assert set(replayed(monkeypatch, ACME)) == {TENANT, SIGNATURE}
    assert set(replayed(monkeypatch, ACME, changed=True)) == {TENANT, SIGNATURE}
    with pytest.raises(InvalidDeployment):
        replayed(monkeypatch, changed=True)
