"""`lipstage access` prints rights by the settings of its environment, without a stack."""

import pytest

from tests.cli.conftest import Lipstage


@pytest.fixture
def lipstage(monkeypatch: pytest.MonkeyPatch) -> Lipstage:
    monkeypatch.delenv("LIPSTAGE_BUCKET", raising=False)
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", "staging.")
    return Lipstage()


def test_table_has_every_service(lipstage: Lipstage) -> None:
    ran = lipstage("access")
    assert ran.code == 0
    services = {line.split()[0] for line in ran.out.splitlines()[1:]}
    stages = {"audio", "face", "infer", "encode", "relay"}
    assert services == stages | {"projection", "gateway", "webhooks", "client", "operator"}


def test_policy_of_one_service_is_one_document(lipstage: Lipstage) -> None:
    assert lipstage("access", "--format", "iam", "--service", "audio").json["Version"] == "2012-10-17"
    assert lipstage("access", "--format", "iam").json.keys() > {"audio", "face"}


def test_names_are_those_of_the_settings(lipstage: Lipstage) -> None:
    lines = lipstage("access", "--format", "kafka-acls", "--service", "face").out.splitlines()
    assert all(line.startswith('kafka-acls --bootstrap-server "$BROKERS"') for line in lines)
    assert any(line.endswith("--operation Read --topic staging.render.face") for line in lines)
    users = lipstage("access", "--format", "strimzi", "--cluster", "events").json["items"]
    assert users[0]["metadata"] == {"name": "lipstage-audio", "labels": {"strimzi.io/cluster": "events"}}
    assert "identities" in lipstage("access", "--format", "seaweedfs").json


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--service", "nobody"), "services are audio, face"),
        (("--tenant", "_x"), "--tenant '_x'"),
        (("--format", "iam", "--service", "projection"), "it uses no objects"),
    ],
)
def test_wrong_argument_is_named(lipstage: Lipstage, arguments: tuple[str, ...], words: str) -> None:
    ran = lipstage("access", *arguments)
    assert ran.code == 2
    assert words in ran.err


def test_tenant_limits_the_client_alone(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    client = lipstage("access", "--tenant", "acme", "--service", "client").out
    assert "lipstage-inputs/acme/*" in client
    assert "lipstage-inputs/*" in lipstage("access", "--tenant", "acme", "--service", "audio").out
    monkeypatch.setenv("LIPSTAGE_TENANCY", "topic")
    assert "render.requests.acme.bulk" in lipstage("access", "--tenant", "acme", "--service", "client").out
