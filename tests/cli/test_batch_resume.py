"""A batch whose submission is interrupted or killed: the same command sends the rest, and nothing twice."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from shared.client import topic_log
from shared.client.connection import Connection
from shared.messages.topics import REQUEST_TOPICS
from tests.cli.conftest import Lipstage
from tests.client.services import Services, job_of
from tests.conftest import ROOT

PIPE_BYTES = 4096
"""Of the pipe that the command prints to: it can't send all rows before somebody reads what it has printed."""
ROWS = 160


@pytest.fixture
def manifest(portrait: Path, speech: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text("portrait,speech,seed\n" + "".join(f"portrait.png,speech.wav,{seed}\n" for seed in range(ROWS)))
    return path


def requests(connection: Connection) -> list[str]:
    """The job of every request on the topics of requests."""
    found = []
    for topic in map(connection.topic, REQUEST_TOPICS):
        offsets = topic_log.newest(connection, topic, 1000).offsets
        found += [job_of(message) for message in topic_log.records(connection, topic, offsets)]
    return found


def place_of(index: int, total: int, batch: str) -> dict[str, dict[str, object]]:
    return {"batch": {"id": batch, "index": index, "total": total}}


def start(manifest: Path, batch: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "shared.cli.main", "submit", "--batch", str(manifest), "--batch-id", batch]
    process = subprocess.Popen(
        command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # A shell's background job ignores it.
    )  # fmt: skip
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def first_line(process: "subprocess.Popen[str]") -> str:
    """The next line that the process prints; what comes after it stays in the pipe."""
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(process.stdout.fileno(), 1)
    return line.decode().strip()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_the_same_command_sends_the_rest_and_nothing_twice(
    deployment: Connection, lipstage: Lipstage, manifest: Path, ending: signal.Signals
) -> None:
    batch = uuid.uuid4().hex
    process = start(manifest, batch)
    printed = [first_line(process) for _ in range(5)]
    process.send_signal(ending)
    out, err = process.communicate(timeout=60)
    printed += out.split()
    if ending is signal.SIGINT:
        assert process.returncode == 130
        assert "continue with this command and the same options" in err
    sent = requests(deployment)
    assert 5 <= len(sent) < ROWS
    assert set(printed) <= set(sent), "what was printed, the broker has"
    again = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert again.code == 0
    assert again.out.split()[: len(printed)] == printed
    assert f"{ROWS - len(sent)} of {ROWS} jobs sent, {len(sent)} were submitted before" in again.err
    assert sorted(requests(deployment)) == sorted(again.out.split()), "each job once"


def test_watch_writes_a_report_also_when_it_ends_early(
    deployment: Connection, lipstage: Lipstage, tmp_path: Path
) -> None:
    services, batch, jobs = Services(deployment), uuid.uuid4().hex, [uuid.uuid4().hex for _ in range(2)]
    services.done(jobs[0], **place_of(0, 2, batch))
    services.event("accepted", jobs[1], engine="puppet", **place_of(1, 2, batch))
    report = tmp_path / "report.jsonl"
    early = lipstage("watch", "--batch", batch, "--timeout", "0.5", "--report", report)
    assert early.code == 1
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(row["job_id"], row["status"]) for row in rows] == [(jobs[0], "done"), (jobs[1], "accepted")]
    assert f"report of 2 jobs: {report}" in early.err
    assert lipstage("watch", jobs[0], "--report", report).code == 2
    assert lipstage("watch", "--batch", batch, "--report", tmp_path / "report.doc").code == 2
