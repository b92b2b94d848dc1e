"""The rights that docs/tenants.md lists for a tenant, on a broker that checks rights: they suffice, and no more."""

from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Resource

from shared.messages.tenant_topics import topics_of_tenant
from shared.runtime.settings import RuntimeSettings
from tests.conftest import apply_topics
from tests.runtime.test_topic_rights import ANYBODY, WAIT_S, bootstrap_servers
from tests.tenancy.page import table

__all__ = ["bootstrap_servers"]
BETA = ANYBODY
"""This test's clients have no name: they are beta. Of acme and the services only the rules exist, which exclude
everybody else."""


@pytest.fixture
def settings(bootstrap_servers: str) -> RuntimeSettings:
    made = RuntimeSettings(
        bootstrap_servers=bootstrap_servers,
        tenancy="topic",
        tenant_partitions=1,
        work_partitions=1,
        retry_tiers=("10s",),
    )
    apply_topics(made, ["acme", "beta"])
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    rules = [
        AclBinding(
            Resource.TOPIC,
            row["topic"].replace("acme", tenant),
            ResourcePatternType[row["pattern"]],
            principal if row["principal"] == "acme" else "User:service",
            "*",
            AclOperation[row["operation"]],
            AclPermissionType.ALLOW,
        )
        for tenant, principal in (("acme", "User:acme"), ("beta", BETA))
        for row in table("rights")
    ]
    for future in admin.create_acls(list(dict.fromkeys(rules))).values():  # Both tenants list the services'.
        future.result(WAIT_S)
    return made


def written(settings: RuntimeSettings, topic: str) -> bool:
    """Whether beta may write to the topic."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})

    def reported(error: Any, _: Any) -> None:
        errors.append(error)

    producer.produce(topic, b"x", b"key", on_delivery=reported)
    assert producer.flush(WAIT_S) == 0
    (error,) = errors
    assert error is None or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
    return error is None


def read(settings: RuntimeSettings, topic: str) -> bool:
    """Whether beta may read the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "beta",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        hidden = consumer.list_topics(topic, timeout=WAIT_S).topics[topic].error
        if hidden is not None:
            assert hidden.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, hidden
            return False
        consumer.assign([TopicPartition(topic, 0, 0)])
        while (message := consumer.poll(WAIT_S)) is not None:
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return True
            assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
            return False
        raise AssertionError(f"no answer for {topic}")
    finally:
        consumer.close()


def test_tenant_may_use_its_own_topics_and_no_others(settings: RuntimeSettings) -> None:
    rules = {(row["topic"].replace("acme", "beta"), row["operation"]) for row in table("rights")
             if row["principal"] == "acme"}  # fmt: skip
    own, others = ([topic.name for topic in topics_of_tenant("", tenant, 1)] for tenant in ("beta", "acme"))
    shared = ["render.requests", "render.requests.bulk", "render.cancel", "render.events"]
    for topic in (*own, *others, *shared):
        assert written(settings, topic) == ((topic, "WRITE") in rules), topic
        assert read(settings, topic) == ((topic, "READ") in rules), topic
    assert {topic for topic, _ in rules} == set(own)
