"""Gateways as processes on a deployment of their own, and clients of their event streams."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from tests.client.services import Services
from tests.conftest import Infrastructure, temporary_topics

START_S = 60.0
END_S = 60.0


@dataclass(frozen=True)
class Message:
    """A server-sent event."""

    id: str
    type: str
    data: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.data["render"]["status"])


class Lines:
    """Messages from the lines of a stream."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def add(self, line: str) -> Message | None:
        """The message that the line ends."""
        if not line:
            fields, self._fields = self._fields, {}
            return Message(fields["id"], fields["event"], json.loads(fields["data"])) if "data" in fields else None
        name, _, value = line.partition(": ")
        self._fields[name] = value
        return None


@dataclass
class Gateway:
    """A gateway's process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0
    grpc_port: int = 0
    health_port: int = 0
    key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, timeout=END_S, headers=headers, trust_env=False)

    def wait(self) -> "Gateway":
        """Until it answers. Raises AssertionError with the end of its log."""
        until = time.monotonic() + START_S
        while not (self.port and self.health_port):
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()[-4000:]
            for line in self.log.read_text().splitlines():
                entry = json.loads(line) if line.startswith("{") else {}
                match entry.get("event"):
                    case "gateway_answers":
                        self.port = entry["port"]
                    case "gateway_grpc_answers":
                        self.grpc_port = entry["port"]
                    case "service_started":
                        self.health_port = entry["health_port"]
            time.sleep(0.02)
        return self

    def ready(self) -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.health_port}/readyz", timeout=END_S, trust_env=False)
        found: dict[str, Any] = answer.json()
        return found

    def measured(self, name: str, **labels: str) -> float:
        """The present value of a metric; 0 while there is none."""
        text = httpx.get(f"http://127.0.0.1:{self.health_port}/metrics", timeout=END_S, trust_env=False).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return next((sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)), 0.0)

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(END_S)


@dataclass
class Place:
    """Topics and buckets of a test module, and the gateways on them."""

    connection: Connection
    services: Services
    folder: Path
    started: list[Gateway] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return Client(self.connection.deployment)

    def gateway(self, *, wait: bool = True, **variables: str) -> Gateway:
        log = self.folder / f"gateway-{len(self.started)}.log"
        environment = {
            **os.environ,
            "LIPSTAGE_TOPIC_PREFIX": self.connection.settings.topic_prefix,
            "LIPSTAGE_GATEWAY_PORT": "0",
            "LIPSTAGE_GATEWAY_GRPC_PORT": "0",
            "LIPSTAGE_GATEWAY_RATE_BURST": "100000",
            "LIPSTAGE_HEALTH_PORT": "0",
            **variables,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "stages.gateway"], env=environment, stdout=out, stderr=out
            )
        made = Gateway(process, log)
        self.started.append(made)
        return made.wait() if wait else made


@contextmanager
def place(stack: Infrastructure, folder: Path) -> Iterator[Place]:
    """A deployment of its own: on the stack, with topics that no other test uses."""
    with temporary_topics(stack.bootstrap_servers) as prefix:
        settings = RuntimeSettings(topic_prefix=prefix)
        admin_process.ask(settings, "make_topics", 120, timeout_s=60)
        connection = Connection(Deployment(runtime=settings))
        ensure(connection.s3, connection.storage_settings)
        made = Place(connection, Services(connection), folder)
        try:
            yield made
        finally:
            for gateway in made.started:
                gateway.stop(signal.SIGKILL)
            connection.close()


@contextmanager
def watched(client: httpx.Client, path: str, after: str | None = None) -> Iterator[Iterator[Message]]:
    """The messages of a stream, which is open in the block."""
    headers = {"last-event-id": after} if after else {}
    with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield read(response)


def read(response: httpx.Response) -> Iterator[Message]:
    """The messages of an answer."""
    lines = Lines()
    for line in response.iter_lines():
        message = lines.add(line)
        if message is not None:
            yield message


def path_of(job: str) -> str:
    return f"/v1/renders/{job}/events"
