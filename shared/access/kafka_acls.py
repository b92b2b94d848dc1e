"""Rights in Kafka as ACLs: lines for ``kafka-acls``, and KafkaUser objects for Strimzi."""

import shlex
from dataclasses import dataclass
from typing import Any

from shared.access.rights import Kafka, Rights

CLUSTER_OPTION = "--cluster"
STRIMZI_API = "kafka.strimzi.io/v1"


@dataclass(frozen=True, slots=True)
class Acl:
    """One ACL that allows an operation from any host, in the words of Kafka's protocol."""

    principal: str
    """With its type, as ``User:lipstage-audio``."""
    resource: str
    """``topic``, ``group`` or ``cluster``."""
    name: str
    pattern: str
    """``literal`` or ``prefixed``."""
    operation: str


def acls(rights: Rights) -> list[Acl]:
    """The ACLs of a service, one for each operation."""
    return [
        Acl(f"User:{rights.principal}", one.resource, one.name, _pattern(one), operation)
        for one in rights.kafka
        for operation in one.operations
    ]


def commands(rights: Rights) -> list[str]:
    """Lines of a shell script; ``$BROKERS`` and ``$ADMIN`` name the brokers and the administrator's properties file."""
    lines = []
    for one in rights.kafka:
        words = ["--add", "--allow-principal", f"User:{rights.principal}"]
        for operation in one.operations:
            words += ["--operation", operation]
        words += [CLUSTER_OPTION] if one.resource == "cluster" else [f"--{one.resource}", one.name]
        words += ["--resource-pattern-type", _pattern(one)] if one.prefixed else []
        lines.append(f'kafka-acls --bootstrap-server "$BROKERS" --command-config "$ADMIN" {shlex.join(words)}')
    return lines


def strimzi_user(rights: Rights, cluster: str) -> dict[str, Any]:
    """A KafkaUser of the Strimzi cluster with that name; its password is generated into a Secret of the same name."""
    rules: list[dict[str, Any]] = []
    for one in rights.kafka:
        resource: dict[str, Any] = {"type": one.resource}
        if one.resource != "cluster":
            resource |= {"name": one.name, "patternType": _strimzi_pattern(one)}
        rules.append({"resource": resource, "operations": [str(operation) for operation in one.operations]})
    return {
        "apiVersion": STRIMZI_API,
        "kind": "KafkaUser",
        "metadata": {"name": rights.principal, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": rules},
        },
    }


def _pattern(one: Kafka) -> str:
    return "prefixed" if one.prefixed else "literal"


def _strimzi_pattern(one: Kafka) -> str:
    return "prefix" if one.prefixed else "literal"
