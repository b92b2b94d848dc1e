"""Rights in the object store as the configuration file of SeaweedFS (``weed s3 -config``): an identity a service.

An identity's own actions can't tell writing from deleting; the policies that are attached to it can.
"""

import json
from collections.abc import Mapping
from typing import Any

from shared.access.iam import policies
from shared.access.names import Names
from shared.access.rights import Rights

ADMIN = "Admin"


def configuration(
    all_rights: dict[str, Rights], names: Names, keys: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The configuration. ``keys`` are access key and secret key by service; without them SeaweedFS takes each from its
    environment, as ``LIPSTAGE_AUDIO_ACCESS_KEY`` and ``LIPSTAGE_AUDIO_SECRET_KEY``."""
    documents = policies(all_rights, names)
    identities: list[dict[str, Any]] = []
    for service in documents:
        rights = all_rights[service]
        access_key, secret_key = keys[service] if keys is not None else _variables(service)
        identity: dict[str, Any] = {
            "name": rights.principal,
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        }
        # Buckets are made, and their rules set, by an administrator alone.
        identity |= {"actions": [ADMIN]} if rights.everything else {"policyNames": [rights.principal]}
        identities.append(identity)
    attached = [
        {"name": all_rights[service].principal, "content": json.dumps(document)}
        for service, document in documents.items()
        if not all_rights[service].everything
    ]
    return {"identities": identities, "policies": attached}


def _variables(service: str) -> tuple[str, str]:
    name = f"LIPSTAGE_{service.upper()}"
    return f"${{{name}_ACCESS_KEY}}", f"${{{name}_SECRET_KEY}}"
