"""Whether a broker is there, and why it does not let a client in: a wrong password, a certificate that is not trusted.

librdkafka tries again for ever and reports such an error to a callback only; a request ends with a time-out, which says
nothing of it.
"""

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from shared.runtime.kafka_config import Config

REFUSALS = (KafkaError._AUTHENTICATION, KafkaError._SSL)
PAUSE_S = 0.2
"""Until the next request to a broker that does not know itself yet, seconds."""
FIRST_WAIT_S = 0.5
"""How long the first request waits before the errors are looked at, seconds; each further one waits twice as long."""


class LoginErrors:
    """The errors of one client that concern its login."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None

    @property
    def config(self) -> Config:
        """The property by which the client reports its errors here."""
        return {"error_cb": self._on_error}  # type: ignore[dict-item]

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSALS:
            self.last = error


def list_topics(admin: Any, errors: LoginErrors, timeout_s: float) -> Any:
    """The metadata of all topics, with at least one live broker. Raises KafkaException: at once, with the reason, where
    the broker refuses the login."""
    until, wait_s = time.monotonic() + timeout_s, FIRST_WAIT_S
    while True:
        left = until - time.monotonic()
        try:
            metadata = admin.list_topics(timeout=max(0.01, min(left, wait_s)))
            if metadata.brokers:
                return metadata
            # A broker that starts answers before it has learned of itself from the controller.
            fault = KafkaException(KafkaError(KafkaError.BROKER_NOT_AVAILABLE, "no broker is registered"))
            time.sleep(max(0.0, min(left, PAUSE_S)))
        except KafkaException as e:
            fault = e
            admin.poll(0)
        if errors.last is not None:
            raise KafkaException(errors.last)
        if time.monotonic() >= until:
            raise fault
        wait_s *= 2
