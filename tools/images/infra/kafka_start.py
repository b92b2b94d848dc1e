#!/usr/bin/python3
"""Starts the broker in its container: KAFKA_NAME_OF_PROPERTY becomes name.of.property, as in Apache Kafka's image.

Without KAFKA_NODE_ID the broker is a node of its own that answers at KAFKA_HOST, by default the container's host name.
"""

import base64
import os
import subprocess
import uuid
from pathlib import Path

OURS = {"KAFKA_HEAP_OPTS", "KAFKA_HOST"}


def single_node() -> dict[str, str]:
    """The properties of a broker without any variables."""
    host = os.environ.get("KAFKA_HOST") or os.uname().nodename
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": "1@127.0.0.1:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:9092",
        "log.dirs": "/var/lib/kafka/data",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.min.session.timeout.ms": "3000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        "group.consumer.heartbeat.interval.ms": "1000",
        "log.index.size.max.bytes": "1048576",
    }


def main() -> None:
    """Format the data folder once and become the broker."""
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith("KAFKA_") and name not in OURS
    }
    values = given if "node.id" in given else single_node() | given
    properties = Path("/tmp/server.properties")
    properties.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    logging = Path("/tmp/log4j2.properties")
    logging.write_text(
        "rootLogger.level=WARN\nrootLogger.appenderRef.c.ref=c\nappender.c.type=Console\nappender.c.name=c\n"
        "appender.c.layout.type=PatternLayout\nappender.c.layout.pattern=%d %p %c{1} %m%n\n"
    )
    heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xmx512m").split()
    java = ["/opt/java/bin/java", *heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
            f"-Dlog4j2.configurationFile={logging}", "-cp", Path("/opt/kafka/libs/classpath").read_text()]  # fmt: skip
    if not Path(values["log.dirs"], "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(b"lip" + uuid.uuid4().bytes[3:]).decode().rstrip("=")
        storage = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(properties)]
        subprocess.run([*java, *storage], check=True)
    os.execv(java[0], [*java, "kafka.Kafka", str(properties)])


main()
