"""What the routes work with: the policy of addresses, the signer and the tests of one gateway."""

from dataclasses import dataclass

from stages.gateway.webhooks.addresses import AddressPolicy
from stages.gateway.webhooks.sending import Poster
from stages.gateway.webhooks.settings import WebhookSettings
from stages.gateway.webhooks.signing import Signer, signer_of
from stages.gateway.webhooks.testing import Tests


@dataclass(frozen=True, slots=True)
class WebhookDesk:
    """The parts of a gateway that registers endpoints."""

    policy: AddressPolicy
    signer: Signer
    tests: Tests
    max_endpoints: int


def desk_of(options: WebhookSettings) -> WebhookDesk | None:
    """The parts; None where the deployment has no key for webhooks."""
    signer = signer_of(options)
    if signer is None:
        return None
    policy = AddressPolicy(allow_http=options.allow_http, networks=options.allow_networks)
    return WebhookDesk(policy, signer, Tests(Poster(policy, options.timeout_s), signer), options.max_endpoints)
