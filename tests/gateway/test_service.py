"""The gateway as a process: what it refuses to start with, its probes, its keys, and its end. No broker answers: it
starts without one."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.access import api_keys
from shared.access.api_keys import Role
from shared.local import ports
from stages.gateway.__main__ import _is_loopback
from stages.gateway.service import _listen

WAIT_S = 60.0
NOWHERE = {
    **{"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"},
    **{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
}
UNKNOWN = "/v1/renders/no%20id"
"""Answered without the deployment: 401 before anything else, 422 for a caller with a key."""


def variables(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPSTAGE_", "OTEL_", "KAFKA_"))}
    return kept | NOWHERE | more


@dataclass
class Gateway:
    """A gateway that runs, and its ports."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int
    health_port: int

    def status(self, path: str, key: str | None = None, port: int | None = None) -> int | None:
        """HTTP status of the answer; None when nothing answers."""
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return None

    def wait_until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_S
        while not done():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < until, self.log.read_text()[-4000:]
            time.sleep(0.05)

    def wait_ready(self) -> None:
        self.wait_until(lambda: self.status("/readyz", port=self.health_port) == 200)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(WAIT_S)


Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a gateway, by default on the loopback and without keys."""
    started: list[Gateway] = []

    def start_one(*, wait: bool = True, **more: str) -> Gateway:
        port, health = ports.pick(2)
        environment = variables(LIPSTAGE_GATEWAY_PORT=str(port), LIPSTAGE_HEALTH_PORT=str(health), **more)
        log = tmp_path / f"gateway-{len(started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "stages.gateway"], env=environment, stdout=out, stderr=out
            )
        found = Gateway(process, log, port, health)
        started.append(found)
        if wait:
            found.wait_ready()
        return found

    yield start_one
    for one in started:
        one.stop(signal.SIGKILL)


@pytest.fixture
def keys(tmp_path: Path) -> "KeyFile":
    return KeyFile(tmp_path / "keys" / "api.jsonl")


@dataclass
class KeyFile:
    """A file of API keys."""

    path: Path

    def add(self, tenant: str = "acme", role: Role = "user") -> str:
        key, text = api_keys.make(tenant, role)
        with api_keys.changing(self.path) as keys:
            keys.append(key)
        return text

    def clear(self) -> None:
        with api_keys.changing(self.path) as keys:
            keys.clear()


def ended(**more: str) -> tuple[int, str]:
    """Exit status and output of a gateway that ends by itself."""
    command = [sys.executable, "-m", "stages.gateway"]
    done = subprocess.run(command, env=variables(**more), capture_output=True, text=True, timeout=WAIT_S)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"LIPSTAGE_GATEWAY_HOST": "0.0.0.0"}, ["needs LIPSTAGE_GATEWAY_KEYS_FILE"]),
        (
            {"LIPSTAGE_GATEWAY_PORT": "99999", "LIPSTAGE_GATEWAY_DELIVERY": "mail"},
            ["LIPSTAGE_GATEWAY_PORT", "one of stream, redirect"],
        ),
        ({"LIPSTAGE_GATEWAY_KEYS_FILE": "/nowhere/keys.jsonl"}, ["LIPSTAGE_GATEWAY_KEYS_FILE", "No such file"]),
    ],
)
def test_wrong_settings_end_it_with_2(wrong: dict[str, str], words: list[str]) -> None:
    code, output = ended(**wrong)
    assert code == 2, output
    assert [one for one in words if one not in output] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "", "127.0.0.1.example.com"])
def test_only_the_loopback_needs_no_keys(host: str) -> None:
    assert not _is_loopback(host)
    assert all(map(_is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))


@pytest.mark.parametrize("content", [b"{}\n", b"\xff\n"])
def test_file_that_holds_no_keys_ends_it_with_2(keys: KeyFile, content: bytes) -> None:
    keys.path.parent.mkdir()
    keys.path.write_bytes(content)
    code, output = ended(LIPSTAGE_GATEWAY_KEYS_FILE=str(keys.path))
    assert code == 2, output
    assert "LIPSTAGE_GATEWAY_KEYS_FILE" in output


def test_address_that_is_taken_ends_it_with_1() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, output = ended(LIPSTAGE_GATEWAY_PORT=str(other.getsockname()[1]), LIPSTAGE_HEALTH_PORT="0")
    assert code == 1, output
    assert "Address already in use" in output


def test_body_of_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers() -> None:
    async def no_delay() -> int:
        got: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        listening = _listen("127.0.0.1", 0)
        async with await asyncio.start_server(lambda _, writer: got.set_result(writer), sock=listening):
            _, client = await asyncio.open_connection(*listening.getsockname())
            server = await got
            option: int = server.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for writer in (client, server):
                writer.close()
            return option

    assert asyncio.run(no_delay()) == 1


def test_it_is_ready_once_it_listens_and_ends_in_order(start: Start) -> None:
    running = start(wait=False)
    running.wait_ready()
    assert running.status("/livez", port=running.health_port) == 200
    assert running.status(UNKNOWN) == 422, "on loopback without keys everyone is the operator"
    with socket.create_connection(("127.0.0.1", running.port)) as idle:
        idle.sendall(b"GET /v1/renders HTTP/1.1\r\n")  # Half a request must not keep it from ending.
        assert running.stop() == 0, running.log.read_text()
    events = [line.get("event") for line in running.lines()]
    assert events.index("service_started") < events.index("gateway_answers") < events.index("service_stopped")
    own = [line for line in running.lines() if line.get("logger") != "librdkafka"]  # It misses the broker.
    assert [line for line in own if line.get("level") in ("error", "critical")] == []
    assert running.status(UNKNOWN) is None


def test_key_is_accepted_once_it_is_in_the_file_and_no_longer_than_that(start: Start, keys: KeyFile) -> None:
    first = keys.add()
    running = start(LIPSTAGE_GATEWAY_KEYS_FILE=str(keys.path), LIPSTAGE_GATEWAY_HOST="0.0.0.0")
    assert running.status(UNKNOWN) == 401
    assert running.status(UNKNOWN, first + "x") == 401
    assert running.status(UNKNOWN, first) == 422
    second = keys.add("other")
    running.wait_until(lambda: running.status(UNKNOWN, second) == 422)
    assert running.status(UNKNOWN, first) == 422
    keys.clear()
    running.wait_until(lambda: running.status(UNKNOWN, second) == 401)
    assert running.status(UNKNOWN, first) == 401
    assert "lipstage_" not in running.log.read_text(), "no key is logged"


def test_file_that_is_spoilt_later_keeps_the_last_keys(start: Start, keys: KeyFile) -> None:
    text = keys.add()
    running = start(LIPSTAGE_GATEWAY_KEYS_FILE=str(keys.path))
    for spoil in (lambda: keys.path.write_bytes(b"\xff"), keys.path.unlink):
        before = len(running.lines())
        spoil()
        running.wait_until(
            lambda before=before: (
                running.status(UNKNOWN, text) == 422
                and any(line.get("event") == "api_keys_unreadable" for line in running.lines()[before:])
            )
        )
    assert running.status(UNKNOWN) == 401
    keys.path.unlink(missing_ok=True)
    again = keys.add()
    running.wait_until(lambda: running.status(UNKNOWN, again) == 422)
    assert running.status(UNKNOWN, text) == 401
