"""The real broker refuses each service the topics and groups that it has no right to."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shared.client.broker_check import BrokerCheck
from shared.client.errors import InvalidDeployment
from shared.local.infrastructure import broker_fault
from shared.messages.pipeline import STAGES
from shared.messages.topics import topics
from shared.runtime.group_protocol import group_protocol
from shared.runtime.settings import RuntimeSettings
from tests.access.conftest import Secure

WAIT_S = 120.0
TOPICS = [topic.name for topic in topics("", ("puppet",))]
LARGE = b"x" * ((2 << 20) + 4096)
"""More than any topic takes: a broker that allows the write refuses the record, so that nothing is stored."""
REQUESTS = ("render.requests", "render.requests.bulk")
FACE = ("render.face", "render.face.bulk")
INFER = ("render.infer.puppet", "render.infer.puppet.bulk")
ENCODE = ("render.encode", "render.encode.bulk")
RETRY = ("render.retry.10s", "render.retry.1m", "render.retry.10m")
READS = {
    "audio": {*REQUESTS, "render.cancel"},
    "face": {*FACE, "render.cancel"},
    "infer": {*INFER, "render.cancel"},
    "encode": {*ENCODE, "render.cancel", "render.chunks"},
    "relay": {*RETRY},
    "projection": {*REQUESTS, "render.events", "render.jobs"},
    "gateway": {*REQUESTS, "render.events", "render.dlq", "render.replays"},
    "webhooks": {"render.events", "render.webhooks"},
    "client": {*REQUESTS, "render.events"},
}
ALWAYS = {*RETRY, "render.events", "render.dlq"}
WRITES = {
    "audio": {"render.requests.bulk", *FACE, *ALWAYS},
    "face": {*INFER, *ALWAYS},
    "infer": {*ENCODE, *ALWAYS, "render.chunks"},
    "encode": {*ALWAYS},
    "relay": {*REQUESTS, *FACE, *INFER, *ENCODE, "render.events", "render.dlq", "render.clock", "render.webhooks"},
    "projection": {"render.jobs", "render.dlq"},
    "gateway": {
        *REQUESTS,
        *FACE,
        *INFER,
        *ENCODE,
        "render.events",
        "render.cancel",
        "render.replays",
        "render.parked",
        "render.webhooks",
    },
    "webhooks": {*RETRY, "render.webhooks", "render.dlq"},
    "client": {*REQUESTS, "render.events", "render.cancel"},
}
SERVICES = list(READS)
GROUPS = {
    "audio": "lipstage.audio", "face": "lipstage.face", "infer": "lipstage.infer.puppet", "encode": "lipstage.encode",
    "relay": "lipstage.relay", "projection": "lipstage.projection", "webhooks": "lipstage.webhooks",
}  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_service_writes_to_its_own_topics_only(secure: Secure, service: str) -> None:
    producer = Producer({**secure.kafka(service), "message.max.bytes": 4 << 20, "log_level": 0})
    results: dict[str, int] = {}
    for topic in TOPICS:
        try:
            producer.produce(topic, LARGE, b"k", partition=0, on_delivery=partial(_note, results, topic))
        except KafkaException as error:  # The client knows by now that it may not even describe the topic.
            results[topic] = error.args[0].code()
        producer.flush(WAIT_S)
    allowed = {topic for topic, code in results.items() if code == KafkaError.MSG_SIZE_TOO_LARGE}
    refused = {topic for topic, code in results.items() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED}
    assert allowed == WRITES[service]
    assert refused == set(TOPICS) - allowed


@pytest.mark.parametrize("service", SERVICES)
def test_service_reads_its_own_topics_only(secure: Secure, service: str) -> None:
    consumer = Consumer({**secure.kafka(service), "group.id": GROUPS.get(service, "lipstage.client"),
                         "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0})  # fmt: skip
    described = {topic: consumer.list_topics(topic, timeout=WAIT_S).topics[topic].error for topic in TOPICS}
    # Of a topic that it may not even describe, a consumer says nothing.
    results = {topic: error.code() for topic, error in described.items() if error is not None}
    consumer.assign([TopicPartition(topic, 0, 0) for topic in TOPICS if topic not in results])
    until = time.monotonic() + WAIT_S
    while len(results) < len(TOPICS) and time.monotonic() < until:
        message = consumer.poll(1.0)
        topic = message.topic() if message is not None else None
        if message is not None and topic is not None:
            error = message.error()
            results[topic] = KafkaError._PARTITION_EOF if error is None else error.code()
    consumer.close()
    allowed = {topic for topic, code in results.items() if code == KafkaError._PARTITION_EOF}
    refused = {topic for topic, code in results.items() if code == KafkaError.TOPIC_AUTHORIZATION_FAILED}
    assert allowed == READS[service]
    assert refused == set(TOPICS) - allowed


@pytest.mark.parametrize("service", SERVICES)
def test_service_commits_for_its_own_group_only(secure: Secure, service: str) -> None:
    admin = AdminClient({**secure.kafka(service), "log_level": 0})
    topic = sorted(READS[service])[0]
    for owner, group in GROUPS.items():
        if owner == service:
            continue
        wanted = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 5)])]
        answer = admin.alter_consumer_group_offsets(wanted)[group]
        assert _error_of_offsets(answer) == KafkaError.GROUP_AUTHORIZATION_FAILED, group
        with pytest.raises(KafkaException):
            admin.delete_consumer_groups([group])[group].result(WAIT_S)


@pytest.mark.parametrize("service", SERVICES)
def test_service_changes_nothing_of_the_cluster(secure: Secure, service: str) -> None:
    admin = AdminClient({**secure.kafka(service), "log_level": 0})
    futures = {
        "create": admin.create_topics([NewTopic("render.mine", 1)])["render.mine"],
        "delete": admin.delete_topics(["render.events"])["render.events"],
    }
    for name, future in futures.items():
        with pytest.raises(KafkaException) as refused:
            future.result(WAIT_S)
        assert refused.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, name


@pytest.mark.parametrize("stage", STAGES)
def test_stage_finds_the_group_protocol(secure: Secure, tmp_path: Path, stage: str) -> None:
    settings = RuntimeSettings(
        bootstrap_servers=secure.stack.bootstrap_servers, kafka_properties_file=_file(secure, tmp_path, stage)
    )
    assert group_protocol(settings) == "consumer"


def test_wrong_password_is_named_at_once(secure: Secure, tmp_path: Path) -> None:
    file = _file(secure, tmp_path, "audio", {"sasl.password": "wrong"})
    settings = RuntimeSettings(bootstrap_servers=secure.stack.bootstrap_servers, kafka_properties_file=file)
    with pytest.raises(InvalidDeployment, match=r"refuses the connection: .*[Aa]uthentication") as refused:
        BrokerCheck(settings).result()
    assert refused.value.hint is not None
    assert "sasl" in refused.value.hint
    assert "wrong" not in str(refused.value)


def test_broker_of_another_authority_is_not_trusted(secure: Secure, tmp_path: Path) -> None:
    file = _file(secure, tmp_path, "audio", {"ssl.ca.location": ""})
    settings = RuntimeSettings(bootstrap_servers=secure.stack.bootstrap_servers, kafka_properties_file=file)
    with pytest.raises(InvalidDeployment, match=r"refuses the connection: .*certificate"):
        BrokerCheck(settings).result()


def test_client_without_credentials_gets_no_answer(secure: Secure) -> None:
    own = secure.settings.model_copy(update={"kafka_bootstrap_servers": secure.stack.bootstrap_servers})
    plain = secure.stack.model_copy(update={"secure": False})
    assert broker_fault(own, plain, 3.0) == "does not answer"


def _note(results: dict[str, int], topic: str, error: KafkaError | None, _: object) -> None:
    """Delivery report of a record."""
    results[topic] = error.code() if error is not None else 0


def _error_of_offsets(answer: Any) -> int:
    """The broker's error code; some refusals are of the request, others of each partition. 0 where there is none."""
    try:
        (partition,) = answer.result(WAIT_S).topic_partitions
    except KafkaException as error:
        return int(error.args[0].code())
    return int(partition.error.code()) if partition.error is not None else 0


def _file(secure: Secure, folder: Path, service: str, changed: dict[str, str] | None = None) -> Path:
    properties = {**secure.kafka(service), **(changed or {})}
    path = folder / f"{service}.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items() if value))
    return path
