"""The protocol that a service's consumer group uses, by what the broker has enabled."""

from threading import Event

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_fixed

from shared.runtime.broker_login import LoginErrors, list_topics
from shared.runtime.kafka_config import METADATA_TIMEOUT_S, UNLOGGED, Protocol, base
from shared.runtime.settings import RuntimeSettings

log = structlog.get_logger()

BROKER_RETRY_TIMEOUT_S = 60.0
"""How long a starting service waits for a broker that does not answer, seconds."""
AGAIN_S = 1.0
"""A service that needs nothing else of the broker asks again after this time, seconds."""
CONFIG_UNREADABLE = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
}
"""Errors of a broker that does not show its configuration to this client."""


class Stopped(Exception):
    """The service received a stop signal while it waited for the broker."""


def group_protocol(settings: RuntimeSettings, stop: Event | None = None) -> Protocol:
    """The group protocol: the setting's, else KIP-848 where the broker has enabled it.

    Where this client may not read the broker's configuration (DescribeConfigs) the result is the classic protocol,
    which works everywhere. Waits for a broker that does not answer yet, because one group can't have members of two
    protocols. Raises KafkaException; Stopped once ``stop`` is set.
    """
    if settings.group_protocol != "auto":
        return settings.group_protocol
    errors = LoginErrors()
    admin = AdminClient(base(settings, "probe") | UNLOGGED | errors.config)
    try:
        for attempt in Retrying(
            retry=retry_if_exception(
                lambda e: isinstance(e, KafkaException) and e.args[0].code() not in CONFIG_UNREADABLE
            ),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(BROKER_RETRY_TIMEOUT_S),
            before_sleep=_report,
            reraise=True,
        ):
            with attempt:
                if stop is not None and stop.is_set():
                    raise Stopped
                brokers = list_topics(admin, errors, METADATA_TIMEOUT_S).brokers
                resource = ConfigResource(ConfigResource.Type.BROKER, str(next(iter(brokers))))
                entries = admin.describe_configs([resource])[resource].result(timeout=METADATA_TIMEOUT_S)
    except KafkaException as e:
        if e.args[0].code() in CONFIG_UNREADABLE:
            return "classic"
        raise
    enabled = entries.get("group.coordinator.rebalance.protocols")
    return "consumer" if enabled is not None and "consumer" in enabled.value else "classic"


def awaited_group_protocol(settings: RuntimeSettings, stop: Event) -> Protocol | None:
    """The group protocol, however long the broker is away: a new process would find the same. None once ``stop`` is
    set."""
    while not stop.is_set():
        try:
            return group_protocol(settings, stop)
        except Stopped:
            return None
        except KafkaException:
            stop.wait(AGAIN_S)
    return None


def _report(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    reason = error.args[0].str() if isinstance(error, KafkaException) else ""
    log.warning("broker_not_reached", reason=reason)
