"""`topics apply` on a real broker that checks rights: a refused commit is reported, and the rest is done."""

import subprocess
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from shared.local import broker, ports
from shared.runtime import topic_admin
from shared.runtime.settings import RuntimeSettings
from tests.conftest import Infrastructure

WAIT_S = 120
ANYBODY = "User:ANONYMOUS"
AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="module")
def bootstrap_servers(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with the authorizer of Apache Kafka, which allows what no rule mentions."""
    folder = tmp_path_factory.mktemp("authorizer")
    port, controller = ports.pick(2)
    settings = stack.settings.model_copy(update={"state_dir": folder})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "TUNING", broker.TUNING | AUTHORIZER)
        program = broker.program(settings, port, controller, folder, lambda _: None)
    with (folder / "log").open("wb") as log, subprocess.Popen(program.argv, stdout=log, stderr=log) as process:
        try:
            address = f"127.0.0.1:{port}"
            wait_for(address)
            yield address
        finally:
            process.kill()


@retry(stop=stop_after_delay(90), wait=wait_fixed(0.2), retry=retry_if_exception_type(KafkaException), reraise=True)
def wait_for(address: str) -> None:
    AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2)


@pytest.fixture
def settings(bootstrap_servers: str) -> RuntimeSettings:
    return RuntimeSettings(bootstrap_servers=bootstrap_servers, engines=("puppet",), retry_tiers=("10s",))


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (ResourceType.TOPIC, "render.face", "TOPIC_AUTHORIZATION_FAILED"),
        (ResourceType.GROUP, "lipstage.face", "GROUP_AUTHORIZATION_FAILED"),
    ],
)
def test_refused_commit_is_reported_with_the_brokers_code_and_every_other_is_made(
    settings: RuntimeSettings, kind: ResourceType, name: str, code: str
) -> None:
    settings = settings.model_copy(update={"topic_prefix": f"{kind.name.lower()}."})
    name = settings.topic_prefix + name
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    rule = (kind, name, ResourcePatternType.LITERAL, ANYBODY, "*", AclOperation.READ, AclPermissionType.DENY)
    for future in admin.create_acls([AclBinding(*rule)]).values():
        future.result(WAIT_S)
    face = [change for change in topic_admin.apply(settings) if change.wanted == settings.group("face")]
    refused, made = ("no_group_rights", code), ("start_offsets", "16 partitions without")
    assert [(change.topic, change.kind, change.found) for change in face] == [
        (settings.topic("render.face"), *refused),
        (settings.topic("render.face.bulk"), *(made if kind == ResourceType.TOPIC else refused)),
    ]
    for future in admin.delete_acls([AclBindingFilter(*rule)]).values():
        future.result(WAIT_S)
    left = topic_admin.diff(settings)
    assert [(change.kind, change.wanted) for change in left] == [("start_offsets", settings.group("face"))] * (
        1 if kind == ResourceType.TOPIC else 2
    )
