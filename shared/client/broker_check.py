"""Whether the broker answers; asked in a process of its own, so that the caller can load its libraries meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from shared.client.errors import BrokerUnreachable, InvalidDeployment
from shared.runtime.admin_process import START_S, AdminProcess
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

ANSWER_S = 8.0
"""How long the broker may take to answer, seconds."""


class BrokerCheck:
    """One real request to the broker; ``result`` or ``close`` ends it."""

    def __init__(self, settings: RuntimeSettings) -> None:
        """Send the request. Raises InvalidDeployment for properties that can't be read."""
        with kafka_properties():
            self._servers = base(settings, "check")["bootstrap.servers"]
            self._process = AdminProcess(settings, "answers", ANSWER_S + START_S, timeout_s=ANSWER_S)

    def result(self) -> None:
        """Return when the broker has answered. Raises BrokerUnreachable; InvalidDeployment, also where the broker
        refuses the credentials."""
        try:
            self._process.result()
        except Exception as e:
            from confluent_kafka import KafkaError, KafkaException  # Too slow for a broker that answers.

            if not isinstance(e, KafkaException):
                raise
            if e.args[0].code() == KafkaError._INVALID_ARG:
                raise _invalid_properties(e) from None
            if e.args[0].code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
                raise InvalidDeployment(
                    f"the Kafka broker at {self._servers} refuses the connection: {e.args[0].str()}",
                    "see KAFKA_PROPERTIES_FILE: security.protocol, sasl.*, ssl.*",
                ) from None
            raise BrokerUnreachable(f"no Kafka broker answers at {self._servers}: {e.args[0].str()}") from None

    def close(self) -> None:
        """End the request, if it still runs."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def kafka_properties() -> Iterator[None]:
    """Raises InvalidDeployment for properties that can't be read, or that the Kafka client refuses."""
    try:
        yield
    except OSError as e:
        raise InvalidDeployment(f"KAFKA_PROPERTIES_FILE can't be read: {e.strerror}") from None
    except ValueError as e:
        raise InvalidDeployment(f"KAFKA_PROPERTIES_FILE can't be read: {e}") from None
    except Exception as e:
        from confluent_kafka import KafkaException

        if not isinstance(e, KafkaException):
            raise
        raise _invalid_properties(e) from None


def _invalid_properties(error: "KafkaException") -> InvalidDeployment:
    return InvalidDeployment(
        f"the Kafka client can't be made: {error.args[0].str()}", "see KAFKA_BOOTSTRAP_SERVERS, KAFKA_PROPERTIES_FILE"
    )
