"""Records on ``render.cancel``: a command cancels one job, a tombstone revokes commands.

The topic is compacted: under the job id alone as key, the command of one tenant replaces that of another tenant for the
same job id. Commands are written with the key ``<tenant>/<job id>``; both forms are read.
"""

import json
from dataclasses import dataclass

from shared.messages.json_text import strict_json
from shared.messages.names import DEFAULT_TENANT
from shared.messages.task import MAX_ENVELOPE_BYTES

_SEPARATOR = "/"
"""Between tenant and job id in a key; neither may contain it."""
MAX_NAME = 64
"""Characters of the longest job id, and of the longest tenant."""


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """Cancels one job of one tenant."""

    tenant: str
    job_id: str

    def key(self) -> bytes:
        """The record key, also of the tombstone that revokes this command."""
        return f"{self.tenant}{_SEPARATOR}{self.job_id}".encode()

    def encode(self, time_ms: int) -> bytes:
        """The record value; ``time_ms`` is the present time, milliseconds since the epoch, for people to read."""
        return json.dumps({"job_id": self.job_id, "tenant": self.tenant, "at_ms": time_ms}).encode()


@dataclass(frozen=True, slots=True)
class CancelTombstone:
    """Revokes the cancel command for one job, or those of all tenants for that job id."""

    tenant: str | None
    """None: all tenants."""
    job_id: str


def decode_cancel(key: bytes | None, value: bytes | None) -> CancelCommand | CancelTombstone:
    """Read a record of ``render.cancel``.

    The key is ``<tenant>/<job id>`` or the job id alone. The value is null for a tombstone, else a JSON object
    (``strict_json``); where the key names no tenant its field ``tenant`` does, and where neither does it is
    DEFAULT_TENANT. Other fields are ignored. Raises ValueError, and nothing else, for any other record, and when key
    and value name different tenants.
    """
    key_tenant, separator, job_id = (key or b"").decode().rpartition(_SEPARATOR)
    if value is None:
        return CancelTombstone(key_tenant if separator else None, job_id)
    if len(value) > MAX_ENVELOPE_BYTES:
        raise ValueError(f"the value has more than {MAX_ENVELOPE_BYTES} bytes")
    body = strict_json(value)
    if not isinstance(body, dict):
        raise ValueError("the value is not a JSON object")
    tenant = body.get("tenant")
    if tenant is None:
        tenant = key_tenant if separator else DEFAULT_TENANT
    if not isinstance(tenant, str) or not job_id or max(len(tenant), len(job_id)) > MAX_NAME:
        raise ValueError("the record names no valid job")
    if separator and tenant != key_tenant:
        raise ValueError("key and value name different tenants")
    return CancelCommand(tenant, job_id)
