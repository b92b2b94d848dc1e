"""A real audio service with topics for each tenant: it finds a new one, answers on its topics, and obeys only it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shared.cli import topics as topics_command
from shared.cli.errors import BadUse
from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.local.ports import pick
from shared.messages.events import RejectedEvent
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from tests.conftest import ROOT, Infrastructure, apply_topics
from tests.runtime.test_positions import until

WAIT_S = 60.0


@pytest.fixture
def settings(stack: Infrastructure, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> RuntimeSettings:
    monkeypatch.setenv("LIPSTAGE_TENANCY", "topic")
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("LIPSTAGE_WORK_PARTITIONS", "1")
    monkeypatch.setenv("LIPSTAGE_TENANT_PARTITIONS", "2")
    made = RuntimeSettings()
    apply_topics(made)
    return made


@pytest.fixture
def audio(settings: RuntimeSettings, tmp_path: Path) -> Iterator[Path]:
    """The service's log; it has joined its group."""
    (port,), log = pick(1, set()), tmp_path / "audio.log"
    environment = {"PYTHONPATH": str(ROOT), "LIPSTAGE_HEALTH_PORT": str(port), "LIPSTAGE_SCRATCH_DIR": str(tmp_path)}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "shared.cli.main", "stage", "audio"],
            env=os.environ | environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            until(lambda: is_ready(port), "the service is ready")
            yield log
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_new_tenant_is_served_without_a_restart_and_alone(settings: RuntimeSettings, audio: Path) -> None:
    apply_topics(settings, ["acme", "beta"])
    with Client(Deployment()) as client:
        ensure(client.connection.s3, client.connection.storage_settings)
        spec = client.job_spec(ROOT / "samples/portrait.png", ROOT / "samples/speech.wav", tenant="acme")
        start = client.position("acme")
        submission = client.submit(spec)
        types = []
        for event in client.follow(submission, start, timeout_s=WAIT_S):
            types.append(event.type)
            if event.type == "finished":
                break
        assert types[0] == "accepted"
        (job,) = client.jobs(tenant="acme")
        assert (job.job_id, client.jobs(tenant="beta")) == (spec.job_id, [])
        assert [one.job_id for one in client.jobs()] == [spec.job_id], "an operator sees every tenant's"
        assert client.job(submission).status == "running"

        # beta asks for a job of acme, on its own topic: refused there, and acme sees nothing of it.
        other, producer = uuid.uuid4().hex, Producer({"bootstrap.servers": settings.bootstrap_servers})
        body = {"tenant": "acme", "portrait": {"key": "acme/x"}, "speech": {"key": "acme/y"}}
        producer.produce(settings.topic("render.requests.beta"), json.dumps(body), other)
        # ... and cancels acme's.
        command = json.dumps({"tenant": "acme"})
        producer.produce(settings.topic("render.cancel.beta"), command, f"acme/{spec.job_id}")
        assert producer.flush(30) == 0
        until(lambda: audio.read_text().count('"tenant_refused"') >= 2, "both refusals")
        until(lambda: [one.status for one in client.jobs(tenant="beta")] == ["rejected"], "the refusal's event")
        (refused,) = client.jobs(tenant="beta")
        assert (refused.status, refused.tenant) == ("rejected", "beta")
        assert client.job(submission).status == "running"
        assert [one.job_id for one in client.jobs(tenant="acme")] == [spec.job_id]

        assert client.cancel(submission) is not None
        assert client.past_events(submission)[0][-1].type == "failed"


def test_client_sees_the_refusal_of_its_own_request(
    stack: Infrastructure, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job id is that of the record; the client knows it by the request id, before and after it follows."""
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", topic_prefix)
    apply_topics(RuntimeSettings(work_partitions=1))
    with Client(Deployment()) as client:
        ensure(client.connection.s3, client.connection.storage_settings)
        spec = client.job_spec(ROOT / "samples/portrait.png", ROOT / "samples/speech.wav", tenant="beta")
        start = client.position("beta")
        submission = client.submit(spec)
        refuse(client.connection, submission.request_id)
        for events in (client.follow(submission, start, timeout_s=WAIT_S), client.events(submission, timeout_s=WAIT_S)):
            (event,) = events
            assert isinstance(event, RejectedEvent)
            assert event.code == "TENANT_FORBIDDEN"


def refuse(connection: Connection, request_id: str) -> None:
    """As audio with LIPSTAGE_TENANCY=single does."""
    event = RejectedEvent(
        job_id=request_id,
        tenant="unverified",
        request_id=request_id,
        time_ms=1,
        stage="audio",
        code="TENANT_FORBIDDEN",
        message="",
    )
    producer = Producer({"bootstrap.servers": connection.settings.bootstrap_servers})
    producer.produce(connection.settings.topic("render.events"), event.model_dump_json(exclude_none=True), request_id)
    assert producer.flush(30) == 0


@pytest.mark.parametrize("name", ["bulk", "unverified", "Acme", "a_bulk", "a.b"])
def test_topics_of_a_tenant_with_an_unusable_name_are_not_created(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_TENANCY", "topic")
    with pytest.raises(BadUse, match="can't be a tenant with topics of its own"):
        topics_command.create([name], as_json=False)


def test_topics_of_a_tenant_are_not_created_where_nobody_reads_them() -> None:
    with pytest.raises(BadUse, match="LIPSTAGE_TENANCY=topic only"):
        topics_command.create(["acme"], as_json=False)
