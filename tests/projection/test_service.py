"""The projection on the real broker: its answers are those of scans, and no record stops it."""

import json
import re
import signal
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import cimpl

from shared.client import AuditFilter, Client, Deployment, JobNotFound
from shared.client.connection import Connection
from shared.client.job_key import JobKey
from shared.messages.pipeline import STAGES
from shared.messages.topics import JOBS as JOBS_TOPIC
from shared.runtime import admin_process
from stages.gateway.projection.snapshot import record_key
from tests.cli.conftest import Lipstage, lipstage
from tests.client.services import Services, now_ms
from tests.projection.conftest import Projections, Running

__all__ = ["lipstage"]
JOBS = 400
LIFE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("accepted", {"engine": "puppet"}),
    *(("started", {"stage": stage}) for stage in STAGES),
    *(("finished", {"stage": stage, "seconds": 1.0}) for stage in STAGES),
    ("failed", {"stage": "encode", "code": "INTERNAL", "message": "m", "dead_letter": {"topic": "t", "partition": 0,
                                                                                       "offset": 1}}),
)  # fmt: skip
DEAD = {"topic": "render.dlq", "partition": 0, "offset": 7}


def history(services: Services, client: Client, portrait: Path, speech: Path) -> None:
    """Jobs in every state, of two tenants, one in a batch, one queued, one with a conflict, one purged."""
    client.submit(client.job_spec(portrait, speech, job_id="queued", labels={"name": "anna"}))
    services.event("accepted", "done", engine="puppet", labels={"name": "bea"})
    for stage in ("audio", "face", "infer", "encode"):
        services.event("started", "done", stage=stage)
        services.event("progress", "done", stage=stage, percent=50.0, done=5, total=10)
        services.event("finished", "done", stage=stage, seconds=1.5)
    services.done("done")
    services.event("accepted", "running", engine="sonic", tenant="acme", trace_id="a" * 32, unknown_field=[1])
    services.event("warning", "running", tenant="acme", stage="audio", code="SILENT_AUDIO", message="m")
    services.event("started", "running", tenant="acme", stage="infer", attempt=2)
    services.event("progress", "running", tenant="acme", stage="infer", percent=12.5, done=1, total=8, attempt=2)
    services.event("conflict", "running", tenant="acme", request_id="other", message="taken")
    services.event("accepted", "retried", engine="puppet", batch={"id": "b", "index": 0, "total": 2})
    services.event("retrying", "retried", stage="face", code="STORE_UNAVAILABLE", message="503", tier="10s",
                   due_ms=now_ms() + 10_000, next_attempt=2, batch={"id": "b", "index": 0, "total": 2})  # fmt: skip
    services.event("rejected", "rejected", stage="face", code="NO_FACE", message="m",
                   batch={"id": "b", "index": 1, "total": 2})  # fmt: skip
    services.event("failed", "cancelled", stage="infer", code="CANCELLED", message="m")
    services.event("failed", "replayed", stage="infer", code="CRASH_LOOP", message="m", dead_letter=DEAD)
    services.event("replayed", "replayed", stage="infer", dead_letter=DEAD, replays=1)
    services.event("accepted", "purged", engine="puppet", labels={"name": "cleo"})
    services.event("purged", "purged")
    services.event("conflict", "refused", request_id="x", message="taken")


QUESTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"limit": 3},
    {"tenant": "acme"},
    {"batch": "b"},
    {"statuses": ["queued", "running"]},
    {"statuses": ["waiting"], "tenant": "default"},
    {"since_ms": 1},
    {"since_ms": now_ms() * 2},
    {"since_ms": 1, "until_ms": now_ms() * 2},
    {"until_ms": 1},
)


@pytest.fixture
def asking(client: Client, deployment: Connection) -> Any:
    """A client that asks a projection."""

    def ask(running: Running, notes: list[str] | None = None) -> Client:
        given = deployment.deployment
        return Client(
            Deployment(given.runtime.model_copy(update={"projection_url": running.url}), given.storage, given.s3),
            on_fallback=(notes if notes is not None else []).append,
        )

    return ask


def test_projection_and_scan_give_the_same_answers_also_after_a_restart(
    deployment: Connection, services: Services, client: Client, projections: Projections, asking: Any,
    portrait: Path, speech: Path, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    history(services, client, portrait, speech)
    running = projections.start()
    running.wait_folded()

    today = datetime.now(UTC).date()

    def compare(running: Running) -> None:
        notes: list[str] = []
        with asking(running, notes) as asked:
            for question in QUESTIONS:
                assert asked.jobs(**question) == client.jobs(**question), question
            for one in client.jobs():
                key = JobKey(one.tenant, one.job_id)
                assert asked.job(key).as_json() == client.job(key).as_json()
            for wanted in (AuditFilter(today), AuditFilter(today, tenant="acme"), AuditFilter(last_day=today)):
                assert asked.audit(wanted).rows == client.audit(wanted).rows, wanted
            assert asked.audit(AuditFilter(today)).is_complete
            assert not asked.audit(AuditFilter(date(2000, 1, 1))).is_complete, "not kept for so long"
            with pytest.raises(JobNotFound):
                asked.job("nobody")
        assert notes == []

    compare(running)
    for command in (["jobs"], ["jobs", "--json", "--limit", 4], ["job", "done"], ["job", "retried", "--json"],
                    ["audit"], ["audit", "--csv", "--tenant", "acme"]):  # fmt: skip
        scanned = lipstage(*command)
        monkeypatch.setenv("LIPSTAGE_PROJECTION_URL", running.url)
        assert lipstage(*command) == scanned, command
        monkeypatch.delenv("LIPSTAGE_PROJECTION_URL")
    # What the restart reads is render.jobs: nothing is folded again.
    assert running.stop() == 0
    again = projections.start()
    compare(again)
    log = again.log.read_text()
    assert '"jobs": 9' in next(line for line in log.splitlines() if "states_read" in line)
    assert "projection_starts_over" not in log
    # Without render.jobs' records everything is folded from the beginning, whatever was committed.
    again.stop()
    producer = cimpl.Producer({"bootstrap.servers": deployment.settings.bootstrap_servers,
                               "partitioner": "murmur2_random"})  # fmt: skip
    for one in client.jobs():
        producer.produce(deployment.topic(JOBS_TOPIC), None, record_key(JobKey(one.tenant, one.job_id)))
    producer.flush(10)
    rebuilt = projections.start()
    compare(rebuilt)
    assert "projection_starts_over" in rebuilt.log.read_text()


def test_a_projection_that_is_killed_and_stopped_in_the_middle_loses_nothing(
    deployment: Connection, client: Client, projections: Projections, asking: Any
) -> None:
    """What was read and not published is read again; a stop commits no record whose state is not on render.jobs."""
    producer = cimpl.Producer({"bootstrap.servers": deployment.settings.bootstrap_servers})
    for number in range(JOBS):
        for kind, fields in LIFE:
            body = {"type": kind, "job_id": f"j{number}", "tenant": "default", "request_id": "r", "time_ms": now_ms()}
            producer.produce(deployment.topic("render.events"), json.dumps(body | fields), f"j{number}".encode())
        producer.poll(0)
    assert producer.flush(30) == 0
    for how, folded in ((signal.SIGKILL, 1), (signal.SIGTERM, JOBS // 2)):
        running = projections.start(wait=False)
        running.wait_until(lambda running=running, folded=folded: running.position().get("jobs", 0) >= folded)
        running.stop(how)
    running = projections.start()
    running.wait_folded()
    with asking(running) as asked:
        assert asked.jobs() == client.jobs()


def test_without_a_projection_the_commands_scan_and_say_so(
    deployment: Connection, services: Services, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.event("accepted", "here", engine="puppet")
    monkeypatch.setenv("LIPSTAGE_PROJECTION_URL", "http://127.0.0.1:9")
    ran = lipstage("jobs")
    assert "here" in ran.out
    assert "does not answer" in ran.err
    assert "the newest events are read instead" in ran.err


def test_health_and_logs_are_those_of_a_service(
    deployment: Connection, projections: Projections, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = projections.start()

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.health_port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    assert json.loads(get("/livez"))["ok"] and json.loads(get("/readyz"))["ok"]
    running.wait_folded()
    measured = get("/metrics")
    assert "lipstage_projection_jobs 0.0" in measured
    assert 'lipstage_dead_letters_total{code="POISON",stage="projection"} 0.0' in measured
    lags = re.findall(r'(\w+){partition="0",topic="[^"]*render.requests"} 0.0', measured)
    assert lags == ["lipstage_projection_lag"], "stages' lags are summed up by topic"
    assert running.stop() == 0
    for line in running.log.read_text().splitlines():
        assert json.loads(line)["service"] == "projection"


@pytest.mark.slow  # Two rebalances of the classic protocol.
def test_a_second_replica_answers_nothing_wrong(
    deployment: Connection, services: Services, projections: Projections
) -> None:
    """Each reads some partitions only: neither is ready. The one that stays reads the other's states, too."""
    services.event("accepted", "first", engine="puppet")
    one = projections.start()
    other = projections.start(wait=False)
    one.wait_until(lambda: "another replica" in (one.position()["not_ready"] or ""))
    for number in range(32):
        services.event("accepted", f"while-two-{number}", engine="puppet")
    other.wait_until(lambda: other.position()["lag"] == 0)
    one.stop()
    other.wait_folded()
    assert len(other.asked.jobs()) == 33
    services.event("finished", "first", stage="audio", seconds=1.0)
    other.wait_folded()
    found = other.asked.job(JobKey("default", "first"))
    assert found is not None and (found.engine, found.stages["audio"].state) == ("puppet", "finished")


def test_wrong_settings_are_refused(deployment: Connection, projections: Projections, tmp_path: Path) -> None:
    properties = tmp_path / "kafka.properties"
    properties.write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n")
    running = projections.start(wait=False, KAFKA_PROPERTIES_FILE=str(properties))
    assert running.process.wait(60) == 2
    assert "OAUTHBEARER" in running.log.read_text()


def test_nothing_runs_that_faust_would_start(deployment: Connection, projections: Projections) -> None:
    """No topic of faust's own, no folder, no web server."""
    running = projections.start()
    answer = admin_process.ask(deployment.settings, "diff", 20)
    # The topics of the tests have few partitions, and no offsets at which new groups start.
    assert [change for change in answer if change["kind"] not in ("start_offsets", "grow")] == []
    names = deployment.consumer().list_topics(timeout=10).topics
    assert not [name for name in names if "assignor" in name or "changelog" in name]
    running.stop()
