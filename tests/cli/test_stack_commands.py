"""up, status, logs, doctor, trace, config and the example, on the session's services."""

import os
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import av
import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.local import processes
from shared.local import stack as local
from shared.messages.pipeline import SERVICES
from tests.cli.conftest import NAMED, Lipstage, Ran
from tests.conftest import ROOT
from tests.pipeline.client import Client
from tests.pipeline.conftest import Pipeline, spoken, unseen_start


def pids(lipstage: Lipstage) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in lipstage("status", "--json").json}


def lags(lipstage: Lipstage) -> dict[str, int]:
    return {part["name"]: part["lag"] for part in lipstage("status", "--json").json}


@pytest.fixture(scope="module")
def portrait_key(client: Client) -> str:
    return client.upload((ROOT / "samples" / "portrait.png").read_bytes())


def test_up_with_the_exported_variables_keeps_every_process(pipeline: Pipeline, lipstage: Lipstage) -> None:
    """This process has them: they name the stack's own parts, not another deployment."""
    assert os.environ["KAFKA_BOOTSTRAP_SERVERS"] == pipeline.stack.bootstrap_servers
    before = pids(lipstage)
    ran = lipstage("up", "--json")
    assert ran.code == 0
    assert ran.json["kafka"] == pipeline.stack.bootstrap_servers
    assert {"broker", "store", "traces"} < set(before)
    assert pids(lipstage) == before
    assert lipstage("up").out.splitlines()[0].split() == ["kafka", pipeline.stack.bootstrap_servers]


def test_an_unknown_engine_is_bad_use_and_changes_nothing(pipeline: Pipeline, lipstage: Lipstage) -> None:
    before = pids(lipstage)
    ran = lipstage("up", "--engine", "nobody")
    assert (ran.code, "engines are puppet, sonic" in ran.err) == (2, True)
    assert pids(lipstage) == before


def passing(client: Client, lipstage: Lipstage, *command: str) -> Ran:
    """How the command ended once it found nothing wrong: it asks each part once, which may be busy for a second."""
    ran: list[Ran] = []

    def passes() -> bool:
        ran.append(lipstage(*command))
        return ran[-1].code == 0

    client.until(passes, 60)
    return ran[-1]


def test_status_shows_every_part(pipeline: Pipeline, client: Client, lipstage: Lipstage) -> None:
    ran = passing(client, lipstage, "status", "--json")
    parts = {part["name"]: part for part in ran.json}
    assert set(parts) == {"broker", "store", "traces", *(record.name for record in pipeline.stack.services)}
    assert all(part["healthy"] and part["port"] and part["pid"] and part["memory_mb"] > 0 for part in parts.values())
    assert [parts[record.name]["kind"] for record in pipeline.stack.services] == ["service"] * len(SERVICES)
    assert [parts[record.name]["lag"] for record in pipeline.stack.services] == [0] * len(SERVICES)
    assert parts["broker"]["lag"] is None
    table = lipstage("status").out.splitlines()
    assert table[0].split() == ["PART", "HEALTH", "PORT", "PID", "MEMORY", "LAG"]
    assert next(line.split()[:2] for line in table if line.startswith("audio-0")) == ["audio-0", "ok"]
    assert max(map(len, table)) <= 60, "it fits a narrow terminal"


def test_memory_of_a_service_includes_its_workers(pipeline: Pipeline, lipstage: Lipstage) -> None:
    parts = {part["name"]: part for part in lipstage("status", "--json").json}
    for name in ("audio-0", "infer-puppet-0"):
        pid = parts[name]["pid"]
        own = processes.usage([pid])[pid]
        alone = int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        assert parts[name]["children"] == own.children >= 1
        assert parts[name]["memory_mb"] > 1.5 * alone, "the worker holds libraries and weights"


def test_up_keeps_the_replicas_that_were_set(pipeline: Pipeline, lipstage: Lipstage, tmp_path: Path) -> None:
    try:
        assert lipstage("up", "--scale", "encode=0").code == 0
        assert "encode-0" not in pids(lipstage)
        refused = lipstage("demo", "-o", tmp_path / "x.mp4")
        assert (refused.code, "no replica of encode" in refused.err) == (1, True)
        assert lipstage("up").code == 0
        assert "encode-0" not in pids(lipstage), "a plain up changes no replica count"
    finally:
        assert lipstage("up", "--scale", "encode=1").code == 0
    assert "encode-0" in pids(lipstage)


def test_jobs_that_wait_for_a_stage_without_a_replica_are_a_fault(
    pipeline: Pipeline, client: Client, lipstage: Lipstage, portrait_key: str
) -> None:
    def idle() -> dict[str, object]:
        return next(part for part in lipstage("status", "--json").json if part["name"] == "audio")

    try:
        assert lipstage("up", "--scale", "audio=0").code == 0
        assert (idle()["healthy"], idle()["detail"]) == (True, "scaled to 0")
        passing(client, lipstage, "doctor")
        job = client.submit(portrait_key, client.upload(spoken(0.5)))
        client.until(lambda: idle()["lag"] == 1, 30, [job])
        client.until(lambda: "audio: scaled to 0, 1 job waits" in lipstage("status").out, 30, [job])
        ran = lipstage("status")
        assert ran.code == 1
        assert next(line.split()[1] for line in ran.out.splitlines() if line.startswith("audio ")) == "OFF"
        ran = lipstage("doctor", "--json")
        found = {check["name"]: check for check in ran.json}
        assert (ran.code, found["audio"]["level"]) == (1, "fail")
        assert found["audio"]["fix"] == "lipstage up --scale audio=1"
    finally:
        assert lipstage("up", "--scale", "audio=1").code == 0
    client.done(job)


def test_a_service_finishes_its_task_before_it_is_scaled_down(
    pipeline: Pipeline, client: Client, portrait_key: str
) -> None:
    job = client.submit(portrait_key, client.upload(spoken(4.0, unseen_start())), params={"min_resolution": 512})
    client.started(job, "infer")
    try:
        local.up(pipeline.infrastructure.settings, {"infer": 0})
        client.until(lambda: ("finished", "infer") in [(e.type, e.stage) for e in client.events[job]], 10, [job])
    finally:
        local.up(pipeline.infrastructure.settings, {"infer": 1})
    client.done(job)
    starts = [e.body["attempt"] for e in client.events[job] if (e.type, e.stage) == ("started", "infer")]
    assert starts == [1]


def test_status_and_demo_fail_when_a_service_hangs(
    pipeline: Pipeline, client: Client, lipstage: Lipstage, portrait_key: str, tmp_path: Path
) -> None:
    hung = processes.identify(pids(lipstage)["face-0"])
    assert hung is not None
    processes.kill(hung, signal.SIGSTOP)
    try:
        ran = lipstage("status")
        lines = [line for line in ran.out.splitlines() if line.startswith("face-0")]
        assert (ran.code, lines[0].split()[1]) == (1, "DOWN")
        assert lines[1].startswith("face-0: does not answer: running, pid ")
        found = {check["name"]: check for check in lipstage("doctor", "--json").json}
        assert (found["face-0"]["level"], found["face-0"]["fix"]) == ("fail", "lipstage logs face-0; lipstage up")
        refused = lipstage("demo", "-o", tmp_path / "x.mp4")
        assert (refused.code, "face-0 (does not answer: running" in refused.err) == (1, True)
        job = client.submit(portrait_key, client.upload(spoken(0.5)))
        client.until(lambda: lags(lipstage)["face-0"] == 1, 30, [job])
    finally:
        processes.kill(hung, signal.SIGCONT)
    client.done(job)
    client.until(lambda: lags(lipstage)["face-0"] == 0, 30)


def test_status_counts_waiting_retries_and_calls_them_no_fault(
    pipeline: Pipeline, client: Client, lipstage: Lipstage
) -> None:
    retries = "render.retry.10m"
    client.produce(retries, b"waits", "job", partition=0)
    try:
        client.until(lambda: lags(lipstage)["relay-0"] == 1, 30)
        passing(client, lipstage, "status")
        assert '"partitions_assigned"' in lipstage("logs", "relay").out
        local.up(pipeline.infrastructure.settings, {"relay": 0})
        client.until(lambda: "relay: scaled to 0, 1 retry waits" in lipstage("status").out, 30)
        assert lipstage("status").code == 1
        found = {check["name"]: check for check in lipstage("doctor", "--json").json}
        assert (found["relay"]["level"], found["relay"]["fix"]) == ("fail", "lipstage up --scale relay=1")
    finally:
        admin = AdminClient({"bootstrap.servers": pipeline.stack.bootstrap_servers})
        for future in admin.delete_records([TopicPartition(retries, 0, OFFSET_END)]).values():
            future.result(30)
        local.up(pipeline.infrastructure.settings, {"relay": 1})
    client.until(lambda: lags(lipstage)["relay-0"] == 0, 30)


def test_logs_lists_and_prints_log_files(pipeline: Pipeline, lipstage: Lipstage) -> None:
    assert {"broker", "store", "traces", "audio-0", "infer-puppet-0"} <= set(lipstage("logs").out.split())
    shown = lipstage("logs", "audio-0")
    assert '"event": "service_started"' in shown.out or '"event":"service_started"' in shown.out
    assert len(lipstage("logs", "audio-0", "-n", "1").out.splitlines()) == 1
    assert lipstage("logs", "encode").out == lipstage("logs", "encode-0").out, "a unique prefix of a name"
    unknown = lipstage("logs", "video")
    assert (unknown.code, "infer-puppet-0" in unknown.err) == (2, True)


def test_doctor_passes_on_a_running_stack(pipeline: Pipeline, client: Client, lipstage: Lipstage) -> None:
    ran = passing(client, lipstage, "doctor", "--json")
    found = {check["name"]: check for check in ran.json}
    root = {"user"} if os.geteuid() == 0 else set()
    assert {name for name, check in found.items() if check["level"] != "ok"} == root
    assert "Apache Kafka 4" in found["broker"]["result"]
    assert "group protocol consumer" in found["broker"]["result"]
    assert "5 races with one winner each" in found["store"]["result"]
    assert lipstage("doctor").out.startswith("ok    python")


@pytest.fixture
def exports(pipeline: Pipeline, lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a shell that evaluated `lipstage config --env`, without other variables that name a stack."""
    monkeypatch.setenv("AWS_PROFILE", "of-another-store")
    for name in set(NAMED) - {"LIPSTAGE_STATE_DIR"}:
        monkeypatch.delenv(name, raising=False)
    ran = lipstage("config", "--env")
    assert ran.code == 0
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS", "KAFKA", "LIPSTAGE"))}
    for line in ran.out.splitlines():
        command, words = line.split(" ", 1)
        if command == "export":
            name, _, value = shlex.split(words)[0].partition("=")
            variables[name] = value
        else:
            assert (command, words) == ("unset", "AWS_PROFILE"), "it would override the local store's key pair"
    return variables


def test_the_example_renders_a_video(exports: dict[str, str], lipstage: Lipstage, tmp_path: Path) -> None:
    speech, target = tmp_path / "speech.wav", tmp_path / "out" / "example.mp4"
    speech.write_bytes(spoken(1.0))
    program, portrait = ROOT / "examples" / "produce_request.py", ROOT / "samples" / "portrait.png"
    command = [sys.executable, program, portrait, speech, target]
    done = subprocess.run(command, env=exports, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()][-2:] == ["done", f"{target}:"]
    with av.open(str(target)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 25


def test_a_rendered_job_has_one_trace(
    pipeline: Pipeline, client: Client, lipstage: Lipstage, exports: dict[str, str], tmp_path: Path
) -> None:
    speech, job = tmp_path / "speech.wav", uuid.uuid4().hex
    speech.write_bytes(spoken(0.6))
    ran = lipstage("render", ROOT / "samples" / "portrait.png", speech, "-o", tmp_path / "x.mp4", "--job-id", job,
                   "--set", "min_resolution=256")  # fmt: skip
    assert ran.code == 0, ran.err
    client.spans(job, "render", "submit render.requests", "run_inference")
    shown = lipstage("trace", job)
    assert shown.code == 0
    assert "submit render.requests" in shown.out
    assert "run_inference" in shown.out
    assert len(lipstage("trace", job, "--json").json) == 1
    unknown = lipstage("trace", "nobody")
    assert (unknown.code, "no trace of the job nobody" in unknown.err) == (1, True)


def test_two_tenants_with_one_job_id_get_their_own_results(
    pipeline: Pipeline, client: Client, lipstage: Lipstage, exports: dict[str, str], tmp_path: Path
) -> None:
    job, portrait = uuid.uuid4().hex, ROOT / "samples" / "portrait.png"
    lengths = {"acme": 0.6, "other": 1.0}
    for tenant, length in lengths.items():
        speech, target = tmp_path / f"{tenant}.wav", tmp_path / f"{tenant}.mp4"
        speech.write_bytes(spoken(length))
        ran = lipstage("render", portrait, speech, "-o", target, "--job-id", job, "--tenant", tenant,
                       "--set", "min_resolution=256")  # fmt: skip
        assert ran.code == 0, ran.err
        with av.open(str(target)) as file:
            assert sum(1 for _ in file.decode(video=0)) == round(length * 25)
    client.until(lambda: len(client.ends(job)) == 2, 20)
    traces = {}
    for tenant in lengths:
        assert lipstage("job", job, "--tenant", tenant, "--json").json["tenant"] == tenant
        traces[tenant] = lipstage("trace", job, "--tenant", tenant, "--json").json
        spans = [span for found in traces[tenant].values() for span in found]
        assert {span["attributes"].get("tenant", tenant) for span in spans} == {tenant}
    assert not traces["acme"].keys() & traces["other"].keys()
    assert lipstage("job", job).code == 2
    assert lipstage("trace", job).code == 1
    again = lipstage("render", portrait, tmp_path / "acme.wav", "-o", tmp_path / "x.mp4", "--job-id", job,
                     "--tenant", "acme")  # fmt: skip
    assert (again.code, "there is another job" in again.err) == (2, True)
    assert not (tmp_path / "x.mp4").exists()
