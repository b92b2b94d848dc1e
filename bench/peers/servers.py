"""What the peers' workers connect to: Debian's redis-server, or the local stack's broker."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers.kafka_loop import PARTITIONS
from bench.realtime import HERE
from bench.sessions import cpu_s
from shared.local import ports, stack
from shared.local.settings import LocalSettings
from shared.runtime.kafka_config import UNLOGGED

REDIS = HERE / ".venv-bench" / "opt" / "redis"
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: variables for its clients, its process, and how many jobs it still has."""

    variables: dict[str, str]
    pid: int
    waiting: Callable[[str], int]
    """Called with the peer's Redis command; a broker counts the records that its group has not committed."""

    def cpu_s(self) -> float:
        """CPU seconds that it has used so far."""
        return cpu_s(self.pid)


@contextmanager
def redis(folder: Path, name: str) -> Iterator[Server]:
    """A Redis with its default configuration, and nothing in it."""
    unpacked = REDIS / "usr" / "bin" / "redis-server"
    program = str(unpacked) if unpacked.exists() else shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing: run `make setup-bench`, or install it")
    libraries = ":".join(str(path) for path in sorted((REDIS / "usr" / "lib").glob("*-linux-gnu")))
    (port,) = ports.pick(1)
    data = folder / name
    data.mkdir()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data)],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_port(port)
        yield Server({"PEERS_REDIS": f"redis://127.0.0.1:{port}/0"}, process.pid, partial(_count, port))
    finally:
        process.kill()
        process.wait()


@contextmanager
def kafka(folder: Path, name: str) -> Iterator[Server]:
    """The local stack's broker, with the topic of the jobs."""
    settings = LocalSettings(
        state_dir=folder / "state",
        jars_dir=LocalSettings().jars,
        kafka_bootstrap_servers="",
        s3_endpoint_url="",
        otlp_endpoint="",
    )
    try:
        started = stack.up(settings, services=False)
        admin = AdminClient({"bootstrap.servers": started.bootstrap_servers, **UNLOGGED})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(WAIT_S)
        broker = next(program for program in started.supervisor().programs() if program.name == "broker")
        variables = {"KAFKA_BOOTSTRAP_SERVERS": started.bootstrap_servers, "PEERS_TOPIC": name}
        yield Server(variables, broker.pid, lambda _: _lag(started.bootstrap_servers, name))
    finally:
        stack.down(settings, purge=True)


SERVERS = {"redis": redis, "kafka": kafka}


def _count(port: int, command: str) -> int:
    """The integer that Redis answers."""
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(command.encode() + b"\r\n")
        answer = one.recv(100).decode()
    if not answer.startswith(":"):
        raise SystemExit(f"redis-server does not count by {command}: {answer}")
    return int(answer[1:])


def _lag(servers: str, topic: str) -> int:
    """Records of the topic that the group of the same name has not committed."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": topic, "enable.auto.commit": False, **UNLOGGED})
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = [consumer.get_watermark_offsets(one, WAIT_S)[1] for one in partitions]
        committed = [max(0, one.offset) for one in consumer.committed(partitions, WAIT_S)]
    finally:
        consumer.close()
    return sum(ends) - sum(committed)


def _await_port(port: int) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with closing(socket.socket()) as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("redis-server does not answer")
