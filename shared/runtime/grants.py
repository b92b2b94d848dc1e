"""Stores passwords and ACLs in a broker: what the local stack does for its own, as `up --secure`."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from shared.runtime.admin_answers import answered

ANSWER_S = 10.0
ITERATIONS = 4096
"""Of SCRAM: the least that Kafka takes. The passwords are random, so that guessing one is hopeless anyway."""
RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "All": AclOperation.ALL,
}
ANY_HOST = "*"


def grant(admin: AdminClient, passwords: Mapping[str, str], acls: Sequence[Mapping[str, str]]) -> None:
    """Store the password (SCRAM-SHA-512) of each user, and exactly these ACLs; all others of the broker are removed.

    ``acls`` are the fields of `shared.access.kafka_acls.Acl`. Raises KafkaException.
    """
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    upserts: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, info, text.encode()) for user, text in passwords.items()
    ]
    _wait(admin.alter_user_scram_credentials(upserts, request_timeout=ANSWER_S))
    wanted = {_binding(one) for one in acls}
    # The client's annotations do not know that a filter may leave out a name.
    nothing: Any = None
    any_acl = AclBindingFilter(
        ResourceType.ANY, nothing, ResourcePatternType.ANY, nothing, nothing, AclOperation.ANY, AclPermissionType.ANY
    )
    found = set(admin.describe_acls(any_acl, request_timeout=ANSWER_S).result(ANSWER_S))
    if missing := sorted(wanted - found, key=str):
        _wait(admin.create_acls(missing, request_timeout=ANSWER_S))
    if surplus := sorted(found - wanted, key=str):
        _wait(admin.delete_acls([_exactly(one) for one in surplus], request_timeout=ANSWER_S))


def _binding(acl: Mapping[str, str]) -> AclBinding:
    return AclBinding(
        RESOURCES[acl["resource"]],
        acl["name"],
        PATTERNS[acl["pattern"]],
        acl["principal"],
        ANY_HOST,
        OPERATIONS[acl["operation"]],
        AclPermissionType.ALLOW,
    )


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
    )


def _wait(futures: Mapping[Any, Any]) -> None:
    for future in answered(futures).values():
        future.result()
