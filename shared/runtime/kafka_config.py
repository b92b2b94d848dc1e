"""Client configuration: every property with its reason.

Values are explicit where a default loses work (auto commit), stalls (fetch back-off) or differs between clients
(partitioner). ``KAFKA_PROPERTIES_FILE`` adds or overrides any property: TLS and SASL need no code.
"""

import socket
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shared.runtime.properties_file import read_properties

if TYPE_CHECKING:
    from shared.runtime.settings import RuntimeSettings

Config = dict[str, str | int | float | bool]
UNLOGGED: Config = {"log_level": 0}
"""For clients of single requests: their errors are raised, and the client's log would be text on stderr."""
Protocol = Literal["consumer", "classic"]
METADATA_TIMEOUT_S = 10.0
METADATA_REFRESH_S = 15
"""How often clients refresh the partitions of their topics, seconds; one small request a client. A topic may grow while
services run: until a consumer of the classic protocol has refreshed, no consumer reads the new partitions. librdkafka's
default is five minutes."""
FETCH_WAIT_MS = 500
"""How long the broker holds a fetch for which it has no record, milliseconds; a record ends the wait at once. An answer
costs the broker 0.8 ms of CPU: with 100 ms the idle services of a pipeline kept it at 6 to 10 % of a core."""
QUEUED_RECORDS = 32
"""Below this number of fetched records the client fetches on, from all partitions. With 1 it would send the next fetch
without the partitions whose record it has just handed over, and they would wait for its end."""


class BrokerAddress(typing.Protocol):
    """The settings that lead a client to the broker: those of RuntimeSettings, or of a process that reads no others."""

    @property
    def bootstrap_servers(self) -> str:
        """Brokers, host:port[,host:port]."""

    @property
    def kafka_properties_file(self) -> Path | None:
        """KAFKA_PROPERTIES_FILE."""


def base(settings: BrokerAddress, client: str) -> Config:
    """Properties of every client. Raises ValueError, OSError for KAFKA_PROPERTIES_FILE: see `read_properties`."""
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


def producer_config(settings: BrokerAddress, client: str) -> Config:
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


def consumer_config(settings: "RuntimeSettings", client: str, group: str, protocol: Protocol) -> Config:
    """Consumer properties: manual commits, few records prefetched, cooperative in both protocols."""
    config: Config = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A new group must read the jobs that already wait.
        "auto.offset.reset": "earliest",
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        # pause() discards prefetched records; envelopes are small.
        "queued.min.messages": QUEUED_RECORDS,
        "queued.max.messages.kbytes": 1024,
        # With so small a queue the default of 1000 would idle up to a second between records.
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
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
    else:
        # Shares out each topic by itself. The default, ``uniform``, evens out the partitions of both lanes together: a
        # second replica got all of the bulk topic's and none of the other's.
        config["group.remote.assignor"] = "range"
    return config | base(settings, client)


def reader_config(settings: BrokerAddress, client: str, group: str) -> Config:
    """Properties of a consumer that assigns itself partitions: it joins no group and commits nothing; ``group`` is only
    its name."""
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where its position no longer exists, as in a recreated topic, it must miss nothing.
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        # Whoever reads to the end of a topic waits for the end of such a fetch.
        "fetch.wait.max.ms": 100,
        "statistics.interval.ms": 15_000,
        **base(settings, client),
    }
