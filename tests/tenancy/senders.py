"""What a sender that may speak for acme sends, in each mode."""

import json
import time
from dataclasses import dataclass

from shared.messages import tenant_signature
from shared.messages.cancel import CancelCommand
from shared.messages.tenant_signature import Kind, SigningKey

ACME = SigningKey("acme/k1", b"a" * 32)
GATEWAY = SigningKey("g1", b"g" * 32)
SERVICE_KEYS = (GATEWAY, ACME)


class Forger(SigningKey):
    """Signs for every tenant, whatever its id says."""

    def signs_for(self, tenant: str) -> bool:
        return True


@dataclass(frozen=True)
class Sent:
    """One record."""

    kind: Kind
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    tenant: str | None
    """Whom it names."""
    job: str


def body(tenant: str) -> bytes:
    """A valid request."""
    ref = {"key": f"{tenant}/x"}
    return json.dumps({"tenant": tenant, "portrait": ref, "speech": ref}).encode()


def record(what: str, job: str) -> Sent:
    """The record that a row of the matrix describes, signed with acme's key unless the row says otherwise."""
    tenant = next((word for word in ("acme", "beta") if word in what), None)
    kind: Kind = "request" if "request" in what else "cancel"
    key, value = job.encode(), body(tenant) if tenant else b'{"tenant": '
    if kind == "cancel":
        key = CancelCommand(tenant, job).key() if tenant else job.encode()
        value = None if "tombstone" in what else CancelCommand(tenant or "", job).encode(1)
    headers: list[tuple[str, bytes | None]] = []
    if "unsigned" not in what:
        headers += signature(kind, tenant or "acme", key, value)
    return Sent(kind, key, value, headers, tenant, job)


def signature(kind: Kind, tenant: str, key: bytes, value: bytes | None, age_s: float = 0.0) -> list[tuple[str, bytes]]:
    """Made ``age_s`` seconds ago with acme's key, also for other tenants."""
    issued_ms = int((time.time() - age_s) * 1000)
    return tenant_signature.sign((Forger(ACME.id, ACME.secret),), kind, tenant, key, value, issued_ms)
