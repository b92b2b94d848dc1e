"""A real service during an outage of the object store or with a full disk: it reports the job and loses no record."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from shared.local.ports import pick
from shared.messages.topics import EVENTS, topics
from shared.runtime.host.not_ready import NOT_READY
from shared.runtime.settings import RuntimeSettings
from tests.conftest import ROOT, Infrastructure, apply_topics

SECONDS = 60


class Service:
    """One stage service, its log lines and its events."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, port: int, reader: Consumer) -> None:
        self.process, self.port = process, port
        self._log, self._reader = log, reader

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of type ``kind``."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self._reader.poll(0.2)
            if (
                message is not None
                and message.error() is None
                and (event := json.loads(message.value() or b"{}")).get("type") == kind
            ):
                return dict(event)
        raise AssertionError(f"no event {kind}: {self._log.read_text()}")

    def probe(self, path: str) -> str | None:
        """The reason why the probe fails; None when it passes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5):
                return None
        except urllib.error.HTTPError as error:
            return str(json.load(error)["reason"])

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


Start = Callable[..., Any]


@pytest.fixture
def start(stack: Infrastructure, topic_prefix: str, tmp_path: Path) -> Iterator[Start]:
    settings = RuntimeSettings(topic_prefix=topic_prefix, work_partitions=2)
    apply_topics(settings)
    reader = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": topic_prefix, "log_level": 0})
    count = next(topic.partitions for topic in topics("", ()) if topic.name == EVENTS)
    reader.assign([TopicPartition(settings.topic(EVENTS), p, OFFSET_BEGINNING) for p in range(count)])

    @contextmanager
    def started(stage: str, **environment: str) -> Iterator[Service]:
        log, (port,) = tmp_path / f"{uuid.uuid4().hex}.log", pick(1, set())
        env = {**os.environ, "LIPSTAGE_TOPIC_PREFIX": topic_prefix, "LIPSTAGE_HEALTH_PORT": str(port)}
        env |= {"PYTHONPATH": str(ROOT), "LIPSTAGE_SCRATCH_DIR": str(tmp_path), **environment}
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "shared.cli.main", "stage", stage],
                env=env, stdout=out, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        try:
            yield Service(process, log, port, reader)
        finally:
            process.kill()
            process.wait()

    yield started
    reader.close()


@pytest.fixture
def request_job(stack: Infrastructure, start: Start, topic_prefix: str) -> str:
    """Send a request whose objects do not exist; returns its job id."""
    job = uuid.uuid4().hex
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    ref = {"key": f"default/{job}"}
    producer.produce(f"{topic_prefix}render.requests", json.dumps({"portrait": ref, "speech": ref}).encode(), job)
    assert producer.flush(30) == 0
    return job


def test_service_without_its_store_retries_the_record_and_names_the_job_everywhere(
    start: Start, request_job: str
) -> None:
    (free_port,) = pick(1, set())
    environment = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port}", "LIPSTAGE_STORE_RETRY_TIMEOUT_S": "6"}
    with start("audio", **environment) as service:
        waiting = service.until("waiting")
        assert (waiting["job_id"], waiting["stage"], waiting["code"]) == (request_job, "audio", "STORE_UNAVAILABLE")
        retrying = service.until("retrying")
        assert (retrying["job_id"], retrying["code"], retrying["tier"]) == (request_job, "STORE_UNAVAILABLE", "10s")
        assert retrying["next_attempt"] == 1, "an outage of the whole object store uses no attempt"
        assert service.process.poll() is None
        retries = service.lines("store_retry")
        assert retries
        for line in (*retries, *service.lines("task_retried"), *service.lines("task_settled")):
            assert line["job"] == request_job
        assert all(line["reason"] and line["stage"] == "audio" and "ends_in_s" in line for line in retries)
        assert service.end() == 0


def test_shutdown_abandons_a_record_that_waits_for_the_store(start: Start, request_job: str) -> None:
    (free_port,) = pick(1, set())
    environment = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port}", "LIPSTAGE_STORE_RETRY_TIMEOUT_S": "3600"}
    with start("audio", **environment) as service:
        service.until("waiting")
        assert service.end() == 0, "a stop is no failure"
        assert len(service.lines("task_abandoned")) == 1
    with start("audio") as service:
        assert service.until("rejected")["job_id"] == request_job


def test_service_with_a_full_disk_is_live_not_ready_and_abandons_its_records(
    start: Start, stack: Infrastructure, request_job: str
) -> None:
    import boto3

    for name in ("portrait", "speech"):
        path = ROOT / "samples" / f"{name}.{'png' if name == 'portrait' else 'wav'}"
        boto3.client("s3").put_object(Bucket="lipstage-inputs", Key=f"default/{request_job}", Body=path.read_bytes())
    with start("audio", LIPSTAGE_FREE_SPACE_RESERVE_MB=str(10**9)) as service:
        waiting = service.until("waiting")
        assert (waiting["job_id"], waiting["code"]) == (request_job, "NO_SPACE")
        assert (service.probe("/readyz") or "").startswith(f"{NOT_READY}missing disk space: ")
        assert service.probe("/livez") is None
        assert service.end() == 0
    with start("audio") as service:
        assert service.until("finished")["job_id"] == request_job
        assert service.probe("/readyz") is None
