"""Creates missing topics, adds partitions, sets configuration and reports differences; deletes nothing."""

from dataclasses import dataclass
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from shared.messages.topics import Topic, topics
from shared.runtime.kafka_config import METADATA_TIMEOUT_S, UNLOGGED, base
from shared.runtime.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the required and the actual state of a topic: ``wanted`` and ``found``."""

    topic: str
    kind: Literal["create", "grow", "configure", "too_many_partitions"]
    wanted: str
    found: str = ""

    @property
    def applicable(self) -> bool:
        """Whether ``apply`` can make this change; Kafka can't remove partitions."""
        return self.kind != "too_many_partitions"


def diff(settings: RuntimeSettings) -> list[Change]:
    """The changes that ``apply`` would make, and those that it can't. Raises KafkaException when the broker does not
    answer."""
    admin = AdminClient(base(settings, "admin") | UNLOGGED)
    actual = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    required = topics(settings.topic_prefix, settings.engines, settings.tiers)
    changes: list[Change] = []
    for topic in required:
        if topic.name not in actual:
            changes.append(Change(topic.name, "create", f"{topic.partitions} partitions"))
            continue
        partitions = len(actual[topic.name].partitions)
        if partitions < topic.partitions:
            changes.append(Change(topic.name, "grow", str(topic.partitions), str(partitions)))
        elif partitions > topic.partitions:
            changes.append(Change(topic.name, "too_many_partitions", str(topic.partitions), str(partitions)))
    existing = [t for t in required if t.name in actual and t.config]
    return changes + _config_changes(admin, existing)


def _config_changes(admin: AdminClient, existing: list[Topic]) -> list[Change]:
    if not existing:
        return []
    by_name = {t.name: t for t in existing}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in by_name]
    changes: list[Change] = []
    for resource, future in admin.describe_configs(resources).items():
        entries = future.result(timeout=METADATA_TIMEOUT_S)
        for key, value in by_name[resource.name].config.items():
            actual = entries[key].value if key in entries else ""
            if actual != value:
                changes.append(Change(resource.name, "configure", f"{key}={value}", f"{key}={actual}"))
    return changes


def configs(settings: RuntimeSettings, names: list[str], keys: list[str]) -> dict[str, dict[str, str]]:
    """The configuration of existing topics, the broker's defaults included: full name -> key -> value.

    Raises KafkaException for a topic that does not exist, and when the broker does not answer.
    """
    admin = AdminClient(base(settings, "admin") | UNLOGGED)
    answers = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
    entries = {resource.name: future.result(timeout=METADATA_TIMEOUT_S) for resource, future in answers.items()}
    return {name: {key: str(entries[name][key].value) for key in keys} for name in names}


def apply(settings: RuntimeSettings) -> list[Change]:
    """Create, grow and configure the topics; returns the changes. Idempotent, and safe for several services at once.

    Raises KafkaException when the broker refuses.
    """
    changes = [c for c in diff(settings) if c.applicable]
    admin = AdminClient(base(settings, "admin") | UNLOGGED)
    by_name = {t.name: t for t in topics(settings.topic_prefix, settings.engines, settings.tiers)}
    new = [
        NewTopic(c.topic, num_partitions=by_name[c.topic].partitions, config=dict(by_name[c.topic].config))
        for c in changes
        if c.kind == "create"
    ]
    grown = [NewPartitions(c.topic, by_name[c.topic].partitions) for c in changes if c.kind == "grow"]
    if new:
        for future in admin.create_topics(new, operation_timeout=METADATA_TIMEOUT_S).values():
            try:
                future.result()
            except KafkaException as e:
                if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    if grown:
        for future in admin.create_partitions(grown, operation_timeout=METADATA_TIMEOUT_S).values():
            future.result()
    for c in changes:
        if c.kind == "configure":
            key, _, value = c.wanted.partition("=")
            entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ConfigResource.Type.TOPIC, c.topic, incremental_configs=[entry])
            for future in admin.incremental_alter_configs([resource]).values():
                future.result()
    return changes
