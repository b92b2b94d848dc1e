"""Services under a real Prometheus with the short copy of the alert rules: for runs with induced faults."""

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bench.short_rules import read_yaml, shortened, write_yaml
from shared.local import ports
from shared.messages import headers as message_headers
from shared.messages.metadata import AudioMetadata
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.kafka_config import UNLOGGED

RULES = Path(__file__).resolve().parents[1] / "deploy" / "prometheus" / "rules"
FACTOR = 300
"""By which the times of the rules are divided: an hour becomes 12 seconds."""
WAIT_S = 120.0
"""Limit of each wait, seconds: generous, because the machine may be busy."""
STAGE, RELAY = ("bench.alert_stage",), ("shared.runtime", "relay")
AUDIO = AudioMetadata(codec="pcm", sample_rate=48_000, channels=1, duration_s=1.0, sound_channels=1)


def until(condition: Callable[[], bool], what: str) -> float:
    """Wait until the condition holds; returns the seconds that it took. Raises TimeoutError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > WAIT_S:
            raise TimeoutError(f"after {WAIT_S:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - start


class Prometheus:
    """A Prometheus on a free port that scrapes each second. ``close`` ends it."""

    def __init__(self, program: str, folder: Path, targets: Mapping[str, int], factor: float = FACTOR) -> None:
        """``targets`` are the health ports by service; ``folder`` is an empty folder for rules, data and log."""
        (self.port,) = ports.pick(1)
        (folder / "rules").mkdir()
        for path in RULES.glob("*.yaml"):
            write_yaml(shortened(read_yaml(path), factor), folder / "rules" / path.name)
        scraped = [{"targets": [f"127.0.0.1:{port}"], "labels": {"service": name}} for name, port in targets.items()]
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yaml"],
            "scrape_configs": [{"job_name": "lipstage", "static_configs": scraped}],
        }
        write_yaml(configuration, folder / "prometheus.yaml")
        command = [program, f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"]
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        until(self._ready, "Prometheus is ready")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_S)
        self._log.close()

    def _ready(self) -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200)
        return False

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The samples of an instant query: labels and value."""
        data = self._get(f"query?query={urllib.parse.quote(expression)}")
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def exemplars(self, expression: str) -> list[dict[str, str]]:
        """The labels of the exemplars of the last minutes."""
        query = urllib.parse.urlencode({"query": expression, "start": time.time() - 600, "end": time.time() + 1})
        return [one["labels"] for series in self._get(f"query_exemplars?{query}") for one in series["exemplars"]]

    def firing(self) -> dict[str, dict[str, str]]:
        """The annotations of the alerts that fire, by name."""
        alerts = self._get("alerts")["alerts"]
        return {a["labels"]["alertname"]: a["annotations"] for a in alerts if a["state"] == "firing"}

    def fires(self, name: str) -> float:
        """Wait until the alert fires; returns the seconds that it took."""
        return until(lambda: name in self.firing(), f"{name} fires")

    def resolves(self, name: str) -> float:
        """Wait until the alert does not fire; returns the seconds that it took."""
        return until(lambda: name not in self.firing(), f"{name} resolves")


@dataclass
class Services:
    """An encode service whose jobs say how they end, and a relay, on a running broker and object store."""

    environment: Mapping[str, str]
    """Addresses and credentials; LIPSTAGE_TOPIC_PREFIX names topics that exist."""
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = dict(zip(("encode", "relay"), ports.pick(2), strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # The gauges of queues come from the client's statistics.
        properties = self.folder / "kafka.properties"
        properties.write_text("statistics.interval.ms=1000\n")
        self._variables = {**os.environ, **self.environment, "KAFKA_PROPERTIES_FILE": str(properties)}
        config = {"bootstrap.servers": self.environment["KAFKA_BOOTSTRAP_SERVERS"], **UNLOGGED}
        self._producer = Producer(config)

    def start(self, name: str, **variables: str) -> None:
        """Start ``encode`` or ``relay`` with these further variables, and wait until it is ready."""
        port = self.ports[name]
        environment = {**self._variables, **variables, "LIPSTAGE_HEALTH_PORT": str(port)}
        with (self.folder / f"{name}.log").open("a") as log:
            command = [sys.executable, "-m", *(STAGE if name == "encode" else RELAY)]
            self._processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until(lambda: self._ready(port), f"{name} is ready")

    @staticmethod
    def _ready(port: int) -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200)
        return False

    def kill(self, name: str) -> None:
        """End the service at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(WAIT_S)

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def send(self, do: str, count: int = 1, name: str = "") -> None:
        """Send ``count`` jobs that end as ``do`` says; their ids begin with ``name``."""
        topic = f"{self.environment['LIPSTAGE_TOPIC_PREFIX']}render.encode"
        for _ in range(count):
            now_ms, ref = time.time_ns() // 1_000_000, InputRef(key="default/x")
            task = RenderTask(
                job_id=f"{name or do}-{uuid.uuid4().hex}",
                request_id="r",
                request=RenderRequest(portrait=ref, speech=ref, labels={"do": do}),
                submitted_ms=now_ms,
                outputs={"audio": StageOutput(attempt="1", metadata=AUDIO.model_dump(mode="json"))},
            )
            headers = message_headers.task_headers(task, "encode", now_ms)
            self._producer.produce(topic, task.dump(), task.job_id, headers=[*headers])
        self._producer.flush(WAIT_S)


@contextmanager
def monitored(
    environment: Mapping[str, str], program: str, folder: Path, factor: float = FACTOR
) -> Iterator[tuple[Services, Prometheus]]:
    """The services, none of which runs yet, and a Prometheus that scrapes them; the times of its rules are divided by
    ``factor``."""
    services = Services(environment, folder)
    prometheus = Prometheus(program, folder, services.ports, factor)
    try:
        yield services, prometheus
    finally:
        services.close()
        prometheus.close()
