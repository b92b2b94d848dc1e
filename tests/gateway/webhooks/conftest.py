"""The service that delivers webhooks and a relay, as processes, on topics that nothing else uses."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.messages.webhook import EventType
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from stages.gateway.webhooks.endpoints import ALL_EVENTS, Endpoint, Endpoints
from stages.gateway.webhooks.signing import Signer
from tests.client.services import Services
from tests.conftest import ROOT, Infrastructure, create_topics, temporary_topics
from tests.gateway.webhooks.receiver import Receiver, receiving

__all__ = ["receiver"]
KEY = "key-of-the-tests-of-32-bytes-and-more"
TIERS = ("1s",)
MAX_ATTEMPTS = 3
LIMIT_S = 60.0


@dataclass
class Deployed:
    """A deployment with webhooks."""

    connection: Connection
    folder: Path
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        return Services(self.connection)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.connection.documents)

    def register(self, url: str, *events: EventType, tenant: str) -> Endpoint:
        endpoint = Endpoint.new(url, events or ALL_EVENTS, "")
        self.endpoints.add(tenant, endpoint, 100)
        return endpoint

    def secret(self, tenant: str, endpoint: Endpoint) -> str:
        return Signer([KEY]).secret(tenant, endpoint.id)

    def client(self) -> Client:
        return Client(self.connection.deployment)

    def start(self, name: str, *module: str) -> None:
        settings = self.connection.settings
        self.logs[name] = self.folder / f"{name}-{time.monotonic_ns()}.log"
        variables = {
            "PYTHONPATH": str(ROOT),
            "LIPSTAGE_TOPIC_PREFIX": settings.topic_prefix,
            "LIPSTAGE_RETRY_TIERS": ",".join(TIERS),
            "LIPSTAGE_WEBHOOK_KEY": KEY,
            "LIPSTAGE_WEBHOOK_ALLOW_HTTP": "true",
            "LIPSTAGE_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "LIPSTAGE_WEBHOOK_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
        }
        with self.logs[name].open("wb") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module], env=os.environ | variables, stdout=out, stderr=out
            )

    def start_webhooks(self) -> None:
        self.start("webhooks", "stages.gateway.webhooks")

    def stop(self, name: str, how: int = signal.SIGTERM) -> int:
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(60)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the service's log for an event."""
        found = [line for line in self.logs["webhooks"].read_text().splitlines() if f'"{event}"' in line]
        return [json.loads(line) for line in found]

    def wait(self, done: Callable[[], Any]) -> Any:
        """What ``done`` returns, once it is true; fails with the log of the service."""
        until = time.monotonic() + LIMIT_S
        while not (found := done()):
            assert time.monotonic() < until, self.logs["webhooks"].read_text()[-6000:]
            for name, process in self.processes.items():
                assert process.poll() is None, self.logs[name].read_text()[-6000:]
            time.sleep(0.05)
        return found

    def wait_outcome(self, outcome: str, endpoint: Endpoint) -> None:
        self.wait(lambda: [one for one in self.lines("webhook")
                           if one["outcome"] == outcome and one["endpoint"] == endpoint.id])  # fmt: skip


@pytest.fixture(scope="module")
def deployed(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with temporary_topics(stack.bootstrap_servers) as prefix:
        settings = RuntimeSettings(topic_prefix=prefix, retry_tiers=TIERS)
        create_topics(settings)
        connection = Connection(Deployment(settings))
        ensure(connection.s3, connection.storage_settings)
        made = Deployed(connection, tmp_path_factory.mktemp("webhooks"))
        made.start_webhooks()
        made.start("relay", "shared.runtime", "relay")
        try:
            yield made
        finally:
            codes = {name: made.stop(name) for name in made.processes}
            connection.close()
        assert codes == {"webhooks": 0, "relay": 0}, made.logs["webhooks"].read_text()[-6000:]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"
