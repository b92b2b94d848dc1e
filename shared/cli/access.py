"""``lipstage access``: prints the rights of each service, in the form of the system that is to enforce them."""

import re
from collections.abc import Iterable

from shared.access import iam, kafka_acls, seaweedfs
from shared.access.names import Names
from shared.access.rights import ANY_TENANT, Rights, all_rights
from shared.cli import console
from shared.cli.commands.access import Format
from shared.cli.errors import BadUse
from shared.local.access import names_of
from shared.local.settings import LocalSettings
from shared.messages.names import NAME
from shared.storage.settings import StorageSettings


def show(format_: Format, service: str | None, tenant: str | None, cluster: str) -> None:
    """Print the rights. Raises BadUse for an unknown service and for a tenant that can't be one."""
    if tenant is not None and not re.fullmatch(NAME, tenant):
        raise BadUse(f"--tenant {tenant!r}: lower-case letters, digits, _ and -, 1 to 63 of them, not _ or - first")
    names = names_of(LocalSettings(), StorageSettings())
    every = all_rights(names, tenant or ANY_TENANT)
    if service is not None and service not in every:
        raise BadUse(f"--service {service!r}: there is no such service", f"services are {', '.join(every)}")
    chosen = {service: every[service]} if service is not None else every
    match format_:
        case Format.TABLE:
            console.table(("SERVICE", "WHERE", "NAME", "MAY"), rows(chosen.values(), names))
        case Format.IAM:
            documents = iam.policies(chosen, names)
            if service is not None and service not in documents:
                raise BadUse(f"--service {service}: it uses no objects, so there is no policy")
            console.emit_json(documents[service] if service is not None else documents)
        case Format.SEAWEEDFS:
            console.emit_json(seaweedfs.configuration(chosen, names))
        case Format.KAFKA_ACLS:
            for one in chosen.values():
                for line in kafka_acls.commands(one):
                    console.say(line)
        case Format.STRIMZI:
            users = [kafka_acls.strimzi_user(one, cluster) for one in chosen.values()]
            console.emit_json({"apiVersion": "v1", "kind": "List", "items": users})


def rows(chosen: Iterable[Rights], names: Names) -> list[tuple[str, str, str, str]]:
    """A row for each right: service, where, name or pattern, what it may do."""
    found = []
    for one in chosen:
        if one.everything:
            found.append((one.service, "bucket", ", ".join(names.all_buckets), "everything"))
        for right in one.objects:
            may = ", ".join(right.actions)
            found += [(one.service, "object", f"{bucket}/{right.keys}", may) for bucket in names.buckets(right.bucket)]
        found += [(one.service, "bucket", bucket, "list") for role in one.lists for bucket in names.buckets(role)]
        versioned = [bucket for role in one.lists_versions for bucket in names.buckets(role)]
        found += [(one.service, "bucket", bucket, "list old versions") for bucket in versioned]
        for kafka in one.kafka:
            name = f"{kafka.name}*" if kafka.prefixed else kafka.name
            found.append((one.service, kafka.resource, name, ", ".join(kafka.operations)))
    return found
