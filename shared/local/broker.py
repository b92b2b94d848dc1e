"""The local Kafka broker: one KRaft node, formatted once, tuned for one machine and quick recovery."""

import base64
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.local import jars, java
from shared.local.certificates import AUTHORITY, CERTIFICATE, COMMON_NAME, KEY
from shared.local.configurations import digest
from shared.local.errors import StackCode, StackError
from shared.local.ports import HOST
from shared.local.private_file import write_private
from shared.local.program import Program
from shared.local.settings import LocalSettings

NAME = "broker"
FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
NODE = 1

# Recovery takes seconds instead of most of a minute: a killed broker is available again once its old session has
# expired, and the partitions of a killed consumer are reassigned after group.consumer.session.timeout.ms.
TUNING = {
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "group.consumer.min.session.timeout.ms": 3000,
    "group.consumer.session.timeout.ms": 6000,
    "group.consumer.min.heartbeat.interval.ms": 500,
    "group.consumer.heartbeat.interval.ms": 1000,
    "group.initial.rebalance.delay.ms": 0,
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "log.segment.bytes": 128 * 1024 * 1024,
    # Size of preallocated index files; the default adds 10 MB to each empty partition and slows the start.
    "log.index.size.max.bytes": 1024 * 1024,
    "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
    "num.network.threads": 2,
    "num.io.threads": 4,
}

LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n%throwable{short.message}
"""


@dataclass(frozen=True, slots=True)
class Security:
    """What a broker with TLS, passwords and ACLs needs."""

    folder: Path
    """With the certificates of `shared.local.certificates`."""
    operator: str
    """The super user, who stores the passwords and the ACLs of all others."""
    password: str


def program(
    settings: LocalSettings,
    port: int,
    controller_port: int,
    scratch: Path,
    note: Callable[[str], None],
    security: Security | None = None,
) -> Program:
    """The broker's program. Downloads missing jars and formats the data folder first.

    ``scratch`` is the folder for temporary files; ``note`` gets a line before a long step. Without ``security`` the
    broker takes every request of this machine.

    Raises StackError: JARS_MISSING, JARS_ALTERED, JAVA_MISSING, BROKER_FAILED (formatting failed), DISK_FULL.
    """
    folder = settings.state / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    write_private(properties, _properties(folder, port, controller_port, security))
    logging = folder / "log4j2.properties"
    logging.write_text(LOGGING)
    classpath = ":".join(str(path) for path in jars.ready(settings.jars, note))
    launcher = java.find(settings.java_home).launcher
    command = (str(launcher), *FLAGS, f"-Dlog4j2.configurationFile={logging}", "-cp", classpath)
    if not (folder / "data" / "meta.properties").exists():
        _format(command, properties)
    # Without these options the JVM writes shared counters, and its compression library native code, to /tmp, where
    # they stay after a SIGKILL.
    start = (
        command[0],
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={scratch}",
        *command[1:],
        "kafka.Kafka",
        str(properties),
    )
    return Program(NAME, start, {"CONFIGURATION": digest(properties)}, stop_seconds=6)


def _properties(folder: Path, port: int, controller_port: int, security: Security | None) -> str:
    clients = "SASL_SSL" if security else "PLAINTEXT"
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": NODE,
        "controller.quorum.voters": f"{NODE}@{HOST}:{controller_port}",
        "listeners": f"{clients}://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"{clients}://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": folder / "data",
        **TUNING,
        **(_security(folder, security) if security else {}),
    }
    # A backslash escapes in properties files.
    return "".join(f"{name}={str(value).replace(chr(92), chr(92) * 2)}\n" for name, value in values.items())


def _security(folder: Path, security: Security) -> dict[str, object]:
    """TLS and passwords for clients, certificates alone between the broker and its controller, ACLs for everybody.

    The operator logs in with a password of this file, everybody else with SCRAM, whose passwords he stores in the
    broker: so a data folder that was formatted without passwords can get some.
    """
    keystore = folder / "keystore.pem"
    write_private(keystore, (security.folder / KEY).read_text() + (security.folder / CERTIFICATE).read_text())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    user = f'"{security.operator}" password="{security.password}" user_{security.operator}="{security.password}"'
    return {
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{plain} username={user};",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keystore,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": security.folder / AUTHORITY,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{security.operator};User:CN={COMMON_NAME}",
    }


def _format(command: tuple[str, ...], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    if cluster.startswith("-"):
        cluster = "A" + cluster[1:]  # an argument with a leading dash would be parsed as an option
    arguments = ("kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(properties))
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip()
        code = StackCode.DISK_FULL if "No space left" in output else StackCode.BROKER_FAILED
        last = output.splitlines()[-1] if output else f"exit code {result.returncode}"
        raise StackError(code, f"the broker's data folder could not be formatted: {last}")
