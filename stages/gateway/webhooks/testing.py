"""One signed test message to an endpoint, sent by the gateway at once: what came back."""

import secrets
import threading
from datetime import UTC, datetime

from stages.gateway.webhooks.endpoints import Endpoint
from stages.gateway.webhooks.message import body_of_test
from stages.gateway.webhooks.sending import Answer, Poster
from stages.gateway.webhooks.signing import Signer

MAX_TESTS = 2
"""Tests of one gateway at a time: each holds a thread for as long as an endpoint takes."""


class TooManyTests(Exception):
    """As many tests run as may."""


class Tests:
    """Sends test messages. Thread-safe."""

    def __init__(self, poster: Poster, signer: Signer) -> None:
        self._poster = poster
        self._signer = signer
        self._places = threading.BoundedSemaphore(MAX_TESTS)

    def send(self, tenant: str, endpoint: Endpoint) -> Answer:
        """Send one message. Raises TooManyTests."""
        if not self._places.acquire(blocking=False):
            raise TooManyTests
        try:
            at = datetime.now(UTC)
            body = body_of_test(endpoint.id, tenant, at)
            message = f"msg_{secrets.token_hex(16)}"
            signed = self._signer.headers(tenant, endpoint.id, message, at, body)
            return self._poster.post(endpoint.url, signed, body.encode())
        finally:
            self._places.release()
