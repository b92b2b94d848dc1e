"""``up --secure``: a credential for each service, in files of mode 0600 below ``access`` of the state folder.

Every service runs as the same user, who can read all of these files: the credentials limit what a service's own code
does with its clients, and keep other users of the machine out. They are not a wall between the services' processes.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from shared.access import seaweedfs
from shared.access.kafka_acls import Acl, acls
from shared.access.names import OPERATOR, Names
from shared.access.rights import Rights, all_rights
from shared.local import certificates
from shared.local.access_files import TEMPO, folder, properties_file, secrets_file, store_file
from shared.local.credentials import load_or_create
from shared.local.private_file import write_private
from shared.messages.pipeline import GATEWAY, WEBHOOKS
from shared.runtime.settings import DeploymentSettings, RuntimeSettings
from shared.runtime.settings_variables import only
from shared.storage.settings import StorageSettings

PASSWORD = "kafka_password"


def names_of(settings: DeploymentSettings, storage: StorageSettings) -> Names:
    """The names to which rights are given."""
    return Names(
        topic_prefix=settings.topic_prefix,
        engines=settings.engines,
        bucket=storage.bucket,
        input_buckets=tuple(sorted(set(storage.input_buckets.values()))),
        output_buckets=tuple(sorted(set(storage.output_buckets.values()) - {storage.bucket})),
        tenancy=only(RuntimeSettings, "tenancy").tenancy,
    )


def prepare(state: Path, names: Names) -> None:
    """Write what broker, object store and services need; existing credentials stay."""
    folder(state).mkdir(parents=True, exist_ok=True)
    folder(state).chmod(0o700)
    certificates.ensure(folder(state))
    rights = all_rights(names)
    keys: dict[str, tuple[str, str]] = {}
    for service in (*rights, TEMPO):
        found = _secrets(state, service)
        keys[service] = found["access_key"], found["secret_key"]
        if service in rights:
            write_private(properties_file(state, service), _properties(state, rights[service], found[PASSWORD]))
    document = seaweedfs.configuration(rights, names, keys)
    _add_tempo(document, keys[TEMPO], f"{names.bucket}-traces")
    write_private(store_file(state), json.dumps(document, indent=1))


def passwords(state: Path, names: Names) -> dict[str, str]:
    """The password of each principal in Kafka, the operator's included."""
    return {one.principal: _secrets(state, name)[PASSWORD] for name, one in all_rights(names).items()}


def all_acls(names: Names) -> list[Acl]:
    """The ACLs of every service. The operator has none: the local broker's super user needs none."""
    return [acl for name, one in all_rights(names).items() if name != OPERATOR for acl in acls(one)]


def _secrets(state: Path, service: str) -> Mapping[str, str]:
    """The service's secrets; made the first time. The operator's key pair is that of the stack."""
    own = asdict(load_or_create(state))
    path = secrets_file(state, service)
    stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    generated = {
        "access_key": f"LIP{secrets.token_hex(8).upper()}",
        "secret_key": secrets.token_urlsafe(30),
        PASSWORD: secrets.token_urlsafe(30),
    }
    found = {**own, **(generated if service != OPERATOR else {PASSWORD: generated[PASSWORD]}), **stored}
    # Those of the cache and of the hashes are the same for all services; that of webhooks is not for all.
    found |= {name: own[name] for name in ("cache_key", "hash_key")}
    found["webhook_key"] = own["webhook_key"] if service in (GATEWAY, WEBHOOKS, OPERATOR) else ""
    if found != stored:
        write_private(path, json.dumps(found))
    return found


def _properties(state: Path, rights: Rights, password: str) -> str:
    # The broker takes the operator's password from its configuration: with it, the passwords of the others are stored.
    mechanism = "PLAIN" if rights.service == OPERATOR else "SCRAM-SHA-512"
    lines = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": rights.principal,
        "sasl.password": password,
        "ssl.ca.location": str(folder(state) / certificates.AUTHORITY),
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _add_tempo(document: dict[str, object], keys: tuple[str, str], bucket: str) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ],
    }
    identities, policies = document["identities"], document["policies"]
    assert isinstance(identities, list)
    assert isinstance(policies, list)
    name = f"lipstage-{TEMPO}"
    identities.append(
        {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], "policyNames": [name]}
    )
    policies.append({"name": name, "content": json.dumps(policy)})
