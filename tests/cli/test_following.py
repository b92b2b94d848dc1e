"""render, watch and the example show the events of their own job alone, and its terminal event wherever it is."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client, Submission, event_log, topic_log
from shared.client.connection import Connection
from tests.cli.conftest import Lipstage
from tests.client.services import VIDEO, Services, answering, job_of, now_ms, records
from tests.conftest import FEW, ROOT

PARTITIONS = FEW
FAILED = {"stage": "infer", "code": "CRASH_LOOP", "message": "m"}


def test_events_from_before_and_after_a_growth_are_sorted_by_time(services: Services, lipstage: Lipstage) -> None:
    """The terminal event lies on a partition that is read before that of the first event."""
    job = uuid.uuid4().hex
    services.event("accepted", job, engine="puppet", partition=PARTITIONS - 1, time_ms=now_ms() - 1000)
    services.event("failed", job, **FAILED, partition=0)
    ran = lipstage("watch", job, "--json")
    assert (ran.code, [json.loads(line)["type"] for line in ran.out.splitlines()]) == (1, ["accepted", "failed"])


def render(lipstage: Lipstage, files: tuple[Path, Path], target: Path, *more: object) -> Any:
    return lipstage("render", *files, "-o", target, *more)


@pytest.fixture
def files(portrait: Path, speech: Path) -> tuple[Path, Path]:
    return portrait, speech


def test_another_tenants_job_of_the_same_id_is_ignored(
    deployment: Connection, lipstage: Lipstage, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("started", job_of(message), tenant="other", stage="encode")
        services.event("rejected", job_of(message), tenant="third", stage="face", code="NO_FACE", message="m")
        services.done(job_of(message), b"theirs", tenant="other")
        services.done(job_of(message), tenant="acme")

    target = tmp_path / "x.mp4"
    with answering(deployment, answer):
        ran = render(lipstage, files, target, "--tenant", "acme", "--job-id", "same")
    assert ran.code == 0, ran.err
    assert target.read_bytes() == VIDEO
    assert "encode started" not in ran.err
    shown = {t: lipstage("job", "same", "--tenant", t, "--json").json for t in ("acme", "other", "third")}
    assert {t: (one["tenant"], one["status"]) for t, one in shown.items()} == {
        "acme": ("acme", "done"), "other": ("other", "done"), "third": ("third", "rejected"),
    }  # fmt: skip
    assert lipstage("watch", "same", "--tenant", "third").code == 2
    assert lipstage("fetch", "same", "--tenant", "third", "-o", tmp_path / "y.mp4").code == 1
    assert lipstage("fetch", "same", "--tenant", "other", "-o", tmp_path / "z.mp4").code == 0
    assert (tmp_path / "z.mp4").read_bytes() == b"theirs"
    unknown = lipstage("job", "same")
    assert unknown.code == 2
    assert "acme" not in unknown.err, "whether another tenant has it is not said"
    rows = [line.split()[1:4] for line in lipstage("jobs").out.splitlines()[1:]]
    assert sorted(row[:2] for row in rows) == [["done", "acme"], ["done", "other"], ["rejected", "NO_FACE"]]


def conflict_event(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")
    services.done(job_of(message), b"theirs", request_id="first")
    services.event("conflict", job_of(message), message="Another request has this job id.")


def claim_only(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")


def running_job(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")
    services.event("progress", job_of(message), request_id="first", stage="infer", percent=50, done=1, total=2)


@pytest.mark.parametrize("answer", [conflict_event, claim_only, running_job])
def test_a_job_id_of_an_earlier_request_is_a_conflict(
    deployment: Connection,
    lipstage: Lipstage,
    files: tuple[Path, Path],
    tmp_path: Path,
    answer: Callable[[Services, Any], None],
) -> None:
    """Its events may be published again; the new request is refused, whether its conflict event is read or not."""
    job = uuid.uuid4().hex
    with answering(deployment, answer):
        ran = render(lipstage, files, tmp_path / "x.mp4", "--job-id", job)
    assert ran.code == 2
    assert f"there is another job {job}: Another request has this job id." in ran.err
    assert "infer 50 %" not in ran.err
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(("body", "code", "cancels"), [(b"another body", 2, 0), (None, 130, 1)])
def test_an_interrupt_never_cancels_the_job_of_another_request(
    deployment: Connection,
    services: Services,
    lipstage: Lipstage,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes | None,
    code: int,
    cancels: int,
) -> None:
    def interrupted(_: Client, submission: Submission, *__: object, **___: object) -> None:
        message = next(records(deployment, "render.requests"))
        services.claim(submission.job_id, "first", message.value() if body is None else body)
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.cli.watching.watch", interrupted)
    assert render(lipstage, files, tmp_path / "x.mp4", "--job-id", uuid.uuid4().hex).code == code
    consumer, topic = deployment.consumer(), deployment.settings.topic("render.cancel")
    ends = [topic_log.watermarks(consumer, topic, p)[1] for p in topic_log.partitions(consumer, topic)]
    consumer.close()
    assert sum(ends) == cancels


def test_the_terminal_event_of_a_purged_job_does_not_end_a_new_one(
    deployment: Connection, lipstage: Lipstage, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("rejected", job_of(message), request_id="old", stage="face", code="NO_FACE", message="long ago")
        services.claim(job_of(message), services.request_id, message.value())
        services.event("rejected", job_of(message), request_id="old", stage="face", code="NO_FACE", message="long ago")
        services.done(job_of(message))

    with answering(deployment, answer):
        ran = render(lipstage, files, tmp_path / "x.mp4", "--job-id", "again")
    assert (ran.code, (tmp_path / "x.mp4").read_bytes()) == (0, VIDEO)


def test_a_duplicate_of_a_request_gets_the_result_of_the_first(
    deployment: Connection, lipstage: Lipstage, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.claim(job_of(message), "first", message.value())
        services.done(job_of(message), request_id="first")

    with answering(deployment, answer):
        ran = render(lipstage, files, tmp_path / "x.mp4", "--job-id", "twice")
    assert ran.code == 0
    assert "the same request was sent before; this is its outcome (request first)" in ran.err
    assert (tmp_path / "x.mp4").read_bytes() == VIDEO


def test_the_example_reads_its_own_terminal_event_from_a_topic_that_grows(
    deployment: Connection, services: Services, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("failed", job_of(message), tenant="other", **FAILED)
        services.grow("render.events", PARTITIONS + 4)
        services.event("accepted", job_of(message), engine="puppet", partition=PARTITIONS + 1)
        services.done(job_of(message), partition=PARTITIONS + 3)

    event_log.end(deployment)  # Returns when every new partition has a leader.
    target = tmp_path / "out.mp4"
    command = [sys.executable, ROOT / "examples" / "produce_request.py", *files, target]
    ran: list[subprocess.CompletedProcess[str]] = []

    def example() -> None:
        ran.append(subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=100))

    thread = threading.Thread(target=example)
    thread.start()
    with answering(deployment, answer):
        thread.join(100)
    assert ran[0].returncode == 0, ran[0].stderr
    assert target.read_bytes() == VIDEO
