"""Creates missing topics, adds partitions, sets configuration, commits start offsets and reports differences; deletes
nothing."""

from collections.abc import Iterable
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

from shared.messages.tenant_topics import name_fault, tenants_among, topics_of_tenant
from shared.messages.topics import Topic, topics
from shared.runtime.admin_answers import answered
from shared.runtime.kafka_config import METADATA_TIMEOUT_S, UNLOGGED, base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.start_offsets import Missing, StartOffsets


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the required and the actual state of a topic: ``wanted`` and ``found``."""

    topic: str
    kind: Literal["create", "grow", "configure", "start_offsets", "too_many_partitions", "no_group_rights"]
    wanted: str
    found: str = ""

    @property
    def applicable(self) -> bool:
        """Whether ``apply`` can make this change; Kafka can't remove partitions, nor commit without the right to."""
        return self.kind not in ("too_many_partitions", "no_group_rights")


def required_topics(settings: RuntimeSettings, tenants: Iterable[str] = ()) -> tuple[Topic, ...]:
    """Every topic of the deployment, and of these tenants. Raises ValueError for a name that can have no topics."""
    shared = topics(
        settings.topic_prefix,
        settings.engines,
        settings.tiers,
        settings.work_partitions,
        events_days=settings.retention_events_days,
        dead_letters_days=settings.retention_dead_letter_records_days,
    )
    own = [
        topics_of_tenant(
            settings.topic_prefix, tenant, settings.tenant_partitions, events_days=settings.retention_events_days
        )
        for tenant in tenants
    ]
    return (*shared, *(topic for part in own for topic in part))


def tenants_on(settings: RuntimeSettings, names: Iterable[str]) -> list[str]:
    """The tenants that have topics of their own among the broker's, where the deployment gives them some."""
    prefix = settings.topic_prefix
    if settings.tenancy != "topic":
        return []
    found = tenants_among(name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return [tenant for tenant in found if name_fault(tenant) is None]


def diff(settings: RuntimeSettings, tenants: Iterable[str] = ()) -> list[Change]:
    """The changes that ``apply`` would make, and those that it can't. Raises KafkaException when the broker does not
    answer, ValueError for a tenant that can have no topics."""
    admin = AdminClient(base(settings, "admin") | UNLOGGED)
    actual = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    required = required_topics(settings, dict.fromkeys((*tenants_on(settings, actual), *tenants)))
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
    existing = [t for t in required if t.name in actual]
    found = StartOffsets(settings).missing({t.name: len(actual[t.name].partitions) for t in existing})
    return [*changes, *_config_changes(admin, [t for t in existing if t.config]), *_offset_changes(found)]


def _offset_changes(found: Iterable[Missing]) -> list[Change]:
    return [
        Change(one.topic, "no_group_rights", one.group, one.refusal)
        if one.refusal
        else Change(one.topic, "start_offsets", one.group, f"{len(one.partitions)} partitions without")
        for one in found
    ]


def _config_changes(admin: AdminClient, existing: list[Topic]) -> list[Change]:
    if not existing:
        return []
    by_name = {t.name: t for t in existing}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in by_name]
    changes: list[Change] = []
    for resource, future in answered(admin.describe_configs(resources, request_timeout=METADATA_TIMEOUT_S)).items():
        entries = future.result()
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
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    answers = answered(admin.describe_configs(resources, request_timeout=METADATA_TIMEOUT_S))
    entries = {resource.name: future.result() for resource, future in answers.items()}
    return {name: {key: str(entries[name][key].value) for key in keys} for name in names}


def apply(settings: RuntimeSettings, tenants: Iterable[str] = ()) -> list[Change]:
    """Create, grow and configure the topics, then commit the start offsets of their groups; returns the changes, and
    the groups whose offsets this client may not commit. Idempotent, and safe for several services at once.

    ``tenants`` get topics of their own; those that have some keep them. Raises KafkaException when the broker refuses,
    ValueError for a tenant that can have no topics.
    """
    admin = AdminClient(base(settings, "admin") | UNLOGGED)
    known = tenants_on(settings, admin.list_topics(timeout=METADATA_TIMEOUT_S).topics)
    every = tuple(dict.fromkeys((*known, *tenants)))
    changes = [c for c in diff(settings, every) if c.kind in ("create", "grow", "configure")]
    by_name = {t.name: t for t in required_topics(settings, every)}
    new = [
        NewTopic(c.topic, num_partitions=by_name[c.topic].partitions, config=dict(by_name[c.topic].config))
        for c in changes
        if c.kind == "create"
    ]
    grown = [NewPartitions(c.topic, by_name[c.topic].partitions) for c in changes if c.kind == "grow"]
    if new:
        for future in answered(admin.create_topics(new, operation_timeout=METADATA_TIMEOUT_S)).values():
            try:
                future.result()
            except KafkaException as e:
                if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
    if grown:
        for future in answered(admin.create_partitions(grown, operation_timeout=METADATA_TIMEOUT_S)).values():
            future.result()
    for c in changes:
        if c.kind == "configure":
            key, _, value = c.wanted.partition("=")
            entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ConfigResource.Type.TOPIC, c.topic, incremental_configs=[entry])
            for future in admin.incremental_alter_configs([resource]).values():
                future.result()
    # After `grow`: its new partitions have no offset either.
    actual = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    partitions = {
        name: max(topic.partitions, len(actual[name].partitions) if name in actual else 0)
        for name, topic in by_name.items()
    }
    starts = StartOffsets(settings)
    committed = [starts.commit(one) for one in starts.missing(partitions)]
    return [*changes, *_offset_changes(one for one in committed if one is not None)]
