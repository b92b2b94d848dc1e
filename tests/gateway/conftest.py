"""Gateways as real processes: one on topics that no service reads, one in front of the real services."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.access import api_keys
from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from tests.client.services import Services
from tests.conftest import ROOT, Infrastructure, temporary_topics
from tests.pipeline.conftest import Pipeline, pipeline

__all__ = ["pipeline"]
START_S = 60.0
TOPICS_S = 60.0
MIB = 1 << 20
SETTINGS = {
    "LIPSTAGE_MAX_PORTRAIT_MB": "1",
    "LIPSTAGE_MAX_SPEECH_MB": "4",
    "LIPSTAGE_GATEWAY_UPLOAD_IDLE_S": "1",
    "LIPSTAGE_GATEWAY_RATE_PER_S": "10000",
    "LIPSTAGE_GATEWAY_RATE_BURST": "100000",
    "LIPSTAGE_GATEWAY_GRAFANA_URL": "http://grafana.example",
    "LIPSTAGE_GATEWAY_MAX_BATCH": "20",
    "LIPSTAGE_WEBHOOK_ALLOW_HTTP": "true",
    "LIPSTAGE_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    "LIPSTAGE_WEBHOOK_MAX_ENDPOINTS": "3",
    "LIPSTAGE_WEBHOOK_KEY": "key-of-the-tests-of-32-bytes-and-more",
}


@dataclass
class Gateway:
    """A running gateway."""

    process: "subprocess.Popen[bytes]"
    log: Path
    scratch: Path
    url: str
    keys: Mapping[str, str] = field(default_factory=dict)
    """Texts of API keys by what they are: ``acme``, ``acme operator``, ``beta``."""

    def client(self, key: str | None = None) -> httpx.Client:
        """A client with the key of that name."""
        headers = {"authorization": f"Bearer {self.keys[key]}"} if key is not None else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def uploads(self) -> list[Path]:
        """Folders of uploads that exist."""
        return list(self.scratch.glob("lipstage-*/upload-*"))

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)


def start(folder: Path, keys: Mapping[str, str] | None = None, **variables: str) -> Gateway:
    """A gateway that answers. Fails with its log when it ends before."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    log = folder / f"gateway-{time.monotonic_ns()}.log"
    own = {"LIPSTAGE_GATEWAY_PORT": "0", "LIPSTAGE_SCRATCH_DIR": str(scratch), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "stages.gateway"],
            env=os.environ | SETTINGS | own | variables,
            stdout=out,
            stderr=out,
        )
    until = time.monotonic() + START_S
    while (port := _port(log)) is None:
        assert process.poll() is None and time.monotonic() < until, log.read_text()[-4000:]
        time.sleep(0.05)
    return Gateway(process, log, scratch, f"http://127.0.0.1:{port}", keys or {})


def _port(log: Path) -> int | None:
    for line in log.read_text().splitlines():
        if "gateway_answers" in line:
            return int(json.loads(line)["port"])
    return None


def make_keys(file: Path) -> dict[str, str]:
    """A file of API keys; their texts by what they are."""
    made = {
        "acme": api_keys.make("acme", "user"),
        "acme operator": api_keys.make("acme", "operator"),
        "beta": api_keys.make("beta", "user"),
    }
    api_keys.write(file, [key for key, _ in made.values()])
    return {name: text for name, (_, text) in made.items()}


@pytest.fixture(scope="session")
def quiet(stack: Infrastructure) -> Iterator[Connection]:
    """Clients of topics that no service reads: what a test sends stays as it is."""
    with temporary_topics(stack.bootstrap_servers) as prefix:
        settings = RuntimeSettings(topic_prefix=prefix)
        admin_process.ask(settings, "make_topics", 2 * TOPICS_S, timeout_s=TOPICS_S)
        connection = Connection(Deployment(settings))
        ensure(connection.s3, connection.storage_settings)
        yield connection
        connection.close()


@pytest.fixture(scope="session")
def gateway(quiet: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that asks for keys, on the topics that no service reads."""
    folder = tmp_path_factory.mktemp("gateway")
    file = folder / "keys.jsonl"
    keys = make_keys(file)
    made = start(folder, keys, LIPSTAGE_TOPIC_PREFIX=quiet.settings.topic_prefix, LIPSTAGE_GATEWAY_KEYS_FILE=str(file))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def live(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway without keys in front of the real services."""
    made = start(tmp_path_factory.mktemp("live"))
    yield made
    made.stop()


@pytest.fixture
def acme(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client("acme") as client:
        yield client


@pytest.fixture
def operator(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client("acme operator") as client:
        yield client


@pytest.fixture
def beta(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client("beta") as client:
        yield client


@pytest.fixture
def services(quiet: Connection) -> Services:
    """A stand-in for the services of the quiet topics."""
    return Services(quiet)


@pytest.fixture
def library(quiet: Connection) -> Iterator[Client]:
    """The client library on the quiet topics."""
    with Client(quiet.deployment) as made:
        yield made


def references(tenant: str, /, **fields: Any) -> dict[str, Any]:
    """A request by references; nobody looks the objects up before a service takes it."""
    return {"portrait": {"key": f"{tenant}/p.png"}, "speech": {"key": f"{tenant}/s.wav"}, **fields}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that was answered."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    return body
