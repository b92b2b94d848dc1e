"""Signing secrets of endpoints, and the headers of a signed message (Standard Webhooks, ``v1``).

A secret is derived and not stored: whoever reads the object store can't sign. All keys of the deployment sign, so that
endpoints keep their secrets while a key is replaced.
"""

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime

from standardwebhooks import Webhook

from stages.gateway.webhooks.settings import WebhookSettings, split_keys

PREFIX = "whsec_"
_CONTEXT = "lipstage webhook secret 1"
"""What the secret is for: another use of the same key gives other values."""


class Signer:
    """Signs for every endpoint of a deployment."""

    def __init__(self, keys: list[str]) -> None:
        """``keys``: the newest first, at least one."""
        self._keys = [key.encode() for key in keys]

    def secret(self, tenant: str, endpoint: str) -> str:
        """The secret that the owner of an endpoint verifies with: ``whsec_`` and 32 bytes in base64."""
        return self._secrets(tenant, endpoint)[0]

    def headers(self, tenant: str, endpoint: str, message: str, at: datetime, body: str) -> dict[str, str]:
        """The three headers of a message that is sent at this time, which has a zone."""
        at = at.astimezone(UTC)
        signatures = [Webhook(secret).sign(message, at, body) for secret in self._secrets(tenant, endpoint)]
        return {
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _secrets(self, tenant: str, endpoint: str) -> list[str]:
        about = "\n".join((_CONTEXT, tenant, endpoint)).encode()
        return [PREFIX + b64encode(hmac.new(key, about, hashlib.sha256).digest()).decode() for key in self._keys]


def signer_of(options: WebhookSettings) -> Signer | None:
    """The signer of a deployment; None where it has no key."""
    return Signer(split_keys(options.key)) if options.key is not None else None
