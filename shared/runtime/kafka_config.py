"""Client configuration: every property with its reason.

Values are explicit where a default loses work (auto commit), stalls (fetch back-off) or differs between clients
(partitioner). ``KAFKA_PROPERTIES_FILE`` adds or overrides any property: TLS and SASL need no code.
"""

import socket
from pathlib import Path
from typing import Literal

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from shared.runtime.settings import RuntimeSettings

log = structlog.get_logger()

Config = dict[str, str | int | float | bool]
UNLOGGED: Config = {"log_level": 0}
"""For clients of single requests: their errors are raised, and the client's log would be text on stderr."""
Protocol = Literal["consumer", "classic"]
METADATA_TIMEOUT_S = 10.0
METADATA_REFRESH_S = 15
"""How often clients refresh the partitions of their topics, seconds; one small request a client. A topic may grow while
services run: until a consumer of the classic protocol has refreshed, no consumer reads the new partitions. librdkafka's
default is five minutes."""
BROKER_PATIENCE_S = 60.0
"""How long a starting service waits for a broker that does not answer, seconds."""
CONFIG_UNREADABLE = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNSUPPORTED_FEATURE,
}
"""Errors of a broker that does not show its configuration to this client."""


def read_properties(path: Path) -> Config:
    """Read librdkafka properties from a file of ``key=value`` lines; a line that starts with ``#`` is a comment.

    Raises ValueError for a line without ``=``, OSError when the file can't be read.
    """
    properties: Config = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, sep, value = text.partition("=")
        if not sep:
            raise ValueError(f"{path.name}, line {number}: key=value expected")
        properties[key.strip()] = value.strip()
    return properties


def base(settings: RuntimeSettings, client: str) -> Config:
    """Properties of every client."""
    extra = read_properties(settings.kafka_properties_file) if settings.kafka_properties_file else {}
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"lipstage-{client}-{socket.gethostname()}",
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_S * 1000,
        # Reconnect to a restarted broker within one second, not ten.
        "reconnect.backoff.max.ms": 1000,
        # Below errors, the client's own log adds nothing to the service's lines.
        "log_level": 3,
        **extra,
    }


def producer_config(settings: RuntimeSettings, client: str) -> Config:
    """Producer properties: idempotent, all replicas, no lingering, because a hop waits for its delivery report."""
    return {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 0,
        "compression.type": "lz4",
        "delivery.timeout.ms": 120_000,
        # librdkafka's default (CRC32) disagrees with Java's and Faust's; keyed topics must agree.
        "partitioner": "murmur2_random",
        **base(settings, client),
    }


def consumer_config(settings: RuntimeSettings, client: str, group: str, protocol: Protocol) -> Config:
    """Consumer properties: manual commits, one record prefetched, cooperative in both protocols."""
    config: Config = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A new group must read the jobs that already wait.
        "auto.offset.reset": "earliest",
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        # pause() discards prefetched records; envelopes are small.
        "queued.min.messages": 1,
        "queued.max.messages.kbytes": 1024,
        # With so small a queue the default of 1000 would idle up to a second between records.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 100,
        "max.partition.fetch.bytes": 262_144,
        "allow.auto.create.topics": False,
        # At the end of a partition the position is committed: it is past transaction markers and aborted records.
        "enable.partition.eof": True,
        "group.protocol": protocol,
        "statistics.interval.ms": 15_000,
    }
    if settings.group_instance_id:
        # One group a stage: the same name may be used by the replicas of another stage.
        config["group.instance.id"] = settings.group_instance_id
    if protocol == "classic":
        config |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 3_000,
        }
    return config | base(settings, client)


def reader_config(settings: RuntimeSettings, client: str, group: str) -> Config:
    """Properties of a consumer that assigns itself partitions: it joins no group and commits nothing; ``group`` is only
    its name."""
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where its position no longer exists, as in a recreated topic, it must miss nothing.
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,
        "statistics.interval.ms": 15_000,
        **base(settings, client),
    }


def group_protocol(settings: RuntimeSettings) -> Protocol:
    """The group protocol: the setting's, else KIP-848 where the broker has enabled it.

    Where this client may not read the broker's configuration (DescribeConfigs) the result is the classic protocol,
    which works everywhere. Waits for a broker that does not answer yet, because one group can't have members of two
    protocols. Raises KafkaException.
    """
    if settings.group_protocol != "auto":
        return settings.group_protocol
    admin = AdminClient(base(settings, "probe") | UNLOGGED)
    try:
        for attempt in Retrying(
            retry=retry_if_exception(
                lambda e: isinstance(e, KafkaException) and e.args[0].code() not in CONFIG_UNREADABLE
            ),
            wait=wait_fixed(0.5),
            stop=stop_after_delay(BROKER_PATIENCE_S),
            before_sleep=lambda _: log.warning("broker_not_reached"),
            reraise=True,
        ):
            with attempt:
                brokers = admin.list_topics(timeout=METADATA_TIMEOUT_S).brokers
                resource = ConfigResource(ConfigResource.Type.BROKER, str(next(iter(brokers))))
                entries = admin.describe_configs([resource])[resource].result(timeout=METADATA_TIMEOUT_S)
    except KafkaException as e:
        if e.args[0].code() in CONFIG_UNREADABLE:
            return "classic"
        raise
    enabled = entries.get("group.coordinator.rebalance.protocols")
    return "consumer" if enabled is not None and "consumer" in enabled.value else "classic"
