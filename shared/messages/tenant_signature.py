"""A signature by which a gateway, or another trusted producer, speaks for a tenant (LIPSTAGE_TENANCY=signed).

Two headers: ``lipstage-tenant`` names the tenant, ``lipstage-signature`` is ``v1;<key id>;<issued>;<signature>``: the
id of the key, the time of signing in milliseconds since the epoch, and 64 hex digits of HMAC-SHA-256. Signed are the
lines ``lipstage v1``, kind of record, key id, tenant, time, and the SHA-256 of the record's key and of its value;
so a signature fits no other record. The record needs a key: without one it would be a new job each time it is sent.

A signature gets too old. A service that sends a verified request on adds ``lipstage-taken``, made in the same way with
the kind ``taken``: the copy is as good as the request was.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from shared.messages.codes import Code, Rejected
from shared.messages.names import NAME

TENANT = "lipstage-tenant"
SIGNATURE = "lipstage-signature"
TAKEN = "lipstage-taken"
"""Header of a request that a service has sent on (to a retry topic, the dead letters, the bulk lane)."""
HEADERS = frozenset({TENANT, SIGNATURE, TAKEN})
MIN_SECRET_BYTES = 32
"""HMAC-SHA-256 is as strong as its key, up to this length."""
Kind = Literal["request", "cancel"]
Headers = Iterable[tuple[str, bytes | None]]

_TENANT = NAME.removeprefix("^").removesuffix("$")
_KEY_ID = re.compile(rf"(?:({_TENANT})/)?[a-z0-9]{{1,16}}")
_FORM = re.compile(rf"v1;({_KEY_ID.pattern});([0-9]{{12,14}});([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key: its id is public, its secret is not."""

    id: str
    """``<name>``, or ``<tenant>/<name>`` for a key that signs for this tenant only."""
    secret: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.id!r}, ...)"

    def signs_for(self, tenant: str) -> bool:
        """Whether the key may sign for the tenant."""
        return self.id.rpartition("/")[0] in ("", tenant)


@dataclass(frozen=True, slots=True)
class Signed:
    """A record whose signature is right."""

    tenant: str
    issued_ms: int
    """When it was signed by the signer's clock, milliseconds since the epoch."""

    def is_fresh(self, appended_ms: int, max_age_s: float) -> bool:
        """Whether it was signed at most ``max_age_s`` seconds before or after the broker received the record."""
        return abs(appended_ms - self.issued_ms) <= max_age_s * 1000


def parse_keys(text: str) -> tuple[SigningKey, ...]:
    """The keys of ``id:secret``, several with commas or line breaks between them, the one that signs first.

    Raises ValueError, which quotes no secret.
    """
    keys = []
    for number, entry in enumerate((part.strip() for part in re.split(r"[,\n]", text) if part.strip()), 1):
        key_id, colon, secret = entry.partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise ValueError(
                f"entry {number} must be id:secret; the id is 1 to 16 lower-case letters and digits, such as k1, or"
                " acme/k1 for a key of the tenant acme"
            )
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret of {key_id} needs at least {MIN_SECRET_BYTES} bytes")
        keys.append(SigningKey(key_id, secret.encode()))
    if not keys:
        raise ValueError("there is no key")
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return tuple(keys)


def sign(
    keys: Sequence[SigningKey], kind: Kind, tenant: str, key: bytes | None, value: bytes | None, now_ms: int
) -> list[tuple[str, bytes]]:
    """The headers that speak for ``tenant``, by the first key that signs for it.

    ``key`` and ``value`` are those of the record, byte for byte; ``now_ms`` is the present time, milliseconds since the
    epoch. Raises ValueError when no key signs for the tenant.
    """
    return [(TENANT, tenant.encode()), (SIGNATURE, _sign(keys, kind, tenant, key, value, now_ms))]


def prove_taken(
    keys: Sequence[SigningKey], tenant: str, key: bytes | None, value: bytes | None, now_ms: int
) -> tuple[str, bytes]:
    """The header by which a service shows that it has verified the tenant's request; arguments as of ``sign``.

    Raises ValueError when no key signs for the tenant.
    """
    return TAKEN, _sign(keys, "taken", tenant, key, value, now_ms)


def taken_ms(
    keys: Sequence[SigningKey], tenant: str, key: bytes | None, value: bytes | None, headers: Headers
) -> int | None:
    """When a service has verified this very request of the tenant, milliseconds since the epoch; None without a right
    proof of that."""
    proofs = [text for name, text in headers if name.lower() == TAKEN]
    form = _FORM.fullmatch((proofs[0] or b"").decode("ascii", "replace")) if len(proofs) == 1 else None
    if form is None:
        return None
    key_id, _, issued, signature = form.groups()
    one = next((one for one in keys if one.id == key_id and one.signs_for(tenant)), None)
    if one is None or not hmac.compare_digest(_digest(one, "taken", tenant, int(issued), key, value), signature):
        return None
    return int(issued)


def _sign(
    keys: Sequence[SigningKey], kind: str, tenant: str, key: bytes | None, value: bytes | None, now_ms: int
) -> bytes:
    one = next((one for one in keys if one.signs_for(tenant)), None)
    if one is None:
        raise ValueError(f"no key signs for the tenant {tenant}")
    return f"v1;{one.id};{now_ms};{_digest(one, kind, tenant, now_ms, key, value)}".encode()


def verify(keys: Sequence[SigningKey], kind: Kind, key: bytes | None, value: bytes | None, headers: Headers) -> Signed:
    """Check the signature of a record; whether it is fresh is left to the caller.

    Raises Rejected: TENANT_UNSIGNED without the two headers or without a record key, TENANT_SIGNATURE_INVALID for a
    signature that is not right, or is that of another record, TENANT_FORBIDDEN for one by a key of another tenant.
    """
    given = [(name.lower(), value) for name, value in headers]
    tenant, text = (_only([value for name, value in given if name == wanted], wanted) for wanted in (TENANT, SIGNATURE))
    if not key:
        raise Rejected(
            Code.TENANT_UNSIGNED,
            "A signed record needs a record key: it names the job.",
            field="key",
            allowed="the job id",
        )
    form = _FORM.fullmatch(text)
    if form is None or re.fullmatch(_TENANT, tenant) is None:
        _invalid()
    key_id, _, issued, signature = form.groups()
    one = next((one for one in keys if one.id == key_id), None)
    if one is None or not hmac.compare_digest(_digest(one, kind, tenant, int(issued), key, value), signature):
        _invalid()
    if not one.signs_for(tenant):
        raise Rejected(
            Code.TENANT_FORBIDDEN,
            "The key of the signature may not speak for this tenant.",
            field=f"header {TENANT}",
            allowed=one.id.rpartition("/")[0],
        )
    return Signed(tenant, int(issued))


def _only(found: list[bytes | None], name: str) -> str:
    """The one value of a header. Two of them could be read in two ways."""
    if not found:
        raise Rejected(
            Code.TENANT_UNSIGNED,
            "The record is not signed, and this deployment takes signed records only.",
            field=f"header {name}",
            allowed=f"the headers {TENANT} and {SIGNATURE}",
        )
    if len(found) > 1 or found[0] is None:
        _invalid()
    return found[0].decode("ascii", "replace")


def _invalid() -> NoReturn:
    """One answer for every fault: a forger learns nothing from it."""
    raise Rejected(
        Code.TENANT_SIGNATURE_INVALID,
        "The signature is not right for this record, or its key is not known.",
        field=f"header {SIGNATURE}",
        allowed="v1;<key id>;<milliseconds since the epoch>;<HMAC-SHA-256 in hex>",
    )


def _digest(one: SigningKey, kind: str, tenant: str, issued_ms: int, key: bytes | None, value: bytes | None) -> str:
    # No part but the digests comes from outside without a pattern that forbids line breaks.
    signed = "\n".join(("lipstage v1", kind, one.id, tenant, str(issued_ms), _sha256(key), _sha256(value)))
    return hmac.new(one.secret, signed.encode(), hashlib.sha256).hexdigest()


def _sha256(part: bytes | None) -> str:
    """The digest; that of a missing part, as the value of a tombstone, is not that of an empty one."""
    return "-" if part is None else hashlib.sha256(part).hexdigest()
