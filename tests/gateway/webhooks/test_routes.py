"""``/v1/webhooks`` as its callers see it."""

from tests.gateway.conftest import gateway, quiet

__all__ = ["gateway", "quiet"]
