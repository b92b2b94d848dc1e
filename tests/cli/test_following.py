"""Whose events a client takes for its own, and that it hears of a job's end wherever that is said."""

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

from shared.cli import event_reader
from shared.cli.connection import Connection
from shared.cli.event_reader import EventReader
from shared.cli.events import Job, offsets, partitions_of, scan, span_of, tail
from shared.cli.follow import follow
from shared.cli.submit import Submitted
from shared.messages.events import AnyEvent, RejectedEvent
from shared.storage import markers
from tests.cli.conftest import Lipstage
from tests.cli.services import VIDEO, Services, answering, job_of, now_ms, records
from tests.conftest import ROOT

PARTITIONS = 16
LONG_S = 60.0
FAILED = {"stage": "infer", "code": "CRASH_LOOP", "message": "m"}


@pytest.fixture
def services(deployment: Connection) -> Services:
    return Services(deployment)


def job() -> Job:
    return Job("default", uuid.uuid4().hex)


def kinds(events: list[AnyEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_topic_that_grows_under_a_follower_hides_nothing(deployment: Connection, services: Services) -> None:
    mine = job()
    following = follow(deployment, mine, tail(deployment), timeout_s=LONG_S)
    services.event("accepted", mine.job_id, engine="puppet")
    assert next(following).type == "accepted"
    services.grow("render.events", PARTITIONS + 4)
    # At once: it lies there before the follower knows of the partition.
    services.event("started", mine.job_id, stage="infer", partition=PARTITIONS + 3)
    assert next(following).type == "started"
    services.event("failed", mine.job_id, **FAILED, partition=PARTITIONS)
    assert kinds(list(following)) == ["failed"]


@pytest.mark.parametrize("partition", [0, 7, PARTITIONS - 1])
def test_any_partitioner_will_do(
    deployment: Connection, services: Services, lipstage: Lipstage, partition: int
) -> None:
    mine = job()
    start = tail(deployment)
    services.event("accepted", mine.job_id, engine="puppet", partition=partition)
    services.event("failed", mine.job_id, **FAILED, partition=partition)
    assert kinds(list(follow(deployment, mine, start, timeout_s=LONG_S))) == ["accepted", "failed"]
    assert "failed CRASH_LOOP" in lipstage("job", mine.job_id).out
    assert [line.split()[0] for line in lipstage("jobs").out.splitlines()[1:]] == [mine.job_id]


def test_what_was_said_before_and_after_a_growth_is_one_story(services: Services, lipstage: Lipstage) -> None:
    """The end is said on a partition that is read before that of the beginning."""
    mine = job()
    services.event("accepted", mine.job_id, engine="puppet", partition=PARTITIONS - 1, time_ms=now_ms() - 1000)
    services.event("failed", mine.job_id, **FAILED, partition=0)
    ran = lipstage("watch", mine.job_id, "--json")
    assert (ran.code, [json.loads(line)["type"] for line in ran.out.splitlines()]) == (1, ["accepted", "failed"])


def test_an_end_that_nobody_hears_is_the_stored_one(deployment: Connection, services: Services) -> None:
    mine = job()
    following = follow(deployment, mine, tail(deployment), timeout_s=LONG_S)
    services.event("accepted", mine.job_id, engine="puppet")
    assert next(following).type == "accepted"
    end = RejectedEvent(
        **{"job_id": mine.job_id, "tenant": "default", "request_id": "r", "time_ms": 1},
        **{"stage": "audio", "code": "AUDIO_EMPTY", "message": "No samples."},
    )
    other = end.model_copy(update={"tenant": "acme", "message": "theirs"})
    markers.claim_end(deployment.documents, "acme", mine.job_id, other)
    markers.claim_end(deployment.documents, "default", mine.job_id, end)
    assert list(following) == [end]


def test_a_partition_that_the_client_has_lost_comes_back_with_a_new_client(
    deployment: Connection, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As librdkafka loses one when a broker comes back; the statistics are its own, but for that state."""
    mine = job()
    reader = EventReader(deployment, tail(deployment))
    services.event("accepted", mine.job_id, engine="puppet")

    def read() -> AnyEvent:
        while True:
            if (message := reader.poll(0.2)) is not None:
                event = mine.event(message.key(), message.value())
                assert event is not None
                return event

    assert read().type == "accepted"
    monkeypatch.setattr(event_reader, "STUCK_S", -1.0)
    before = reader._consumer
    reader._fetching = event_reader.FetchStallDetector(-1.0)
    lost = {"desired": True, "fetch_state": "validate-epoch-wait"}
    reader._look(json.dumps({"topics": {reader._topic: {"partitions": {"0": lost}}}}))
    monkeypatch.undo()
    services.event("started", mine.job_id, stage="face")
    assert read().type == "started", "and nothing comes twice"
    assert reader._consumer is not before
    reader.close()


def test_a_bounded_look_back_reads_no_more_than_it_may(deployment: Connection, services: Services) -> None:
    ids = [uuid.uuid4().hex for _ in range(40)]
    for one in ids:
        services.event("accepted", one, engine="puppet")
    assert len(list(scan(deployment, offsets(deployment, 25)))) == 25
    assert len(list(scan(deployment, offsets(deployment, 3)))) == 3
    at = offsets(deployment, 1000)
    assert {event.job_id for event in scan(deployment, at)} == set(ids)
    assert list(scan(deployment, at)) == [], "it goes on where it stopped"


def render(lipstage: Lipstage, files: tuple[Path, Path], target: Path, *more: object) -> Any:
    return lipstage("render", *files, "-o", target, *more)


@pytest.fixture
def files(portrait: Path, speech: Path) -> tuple[Path, Path]:
    return portrait, speech


def test_another_tenants_job_of_the_same_id_is_not_ours(
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
    nobodys = lipstage("job", "same")
    assert nobodys.code == 1
    assert "--tenant acme or --tenant other or --tenant third" in nobodys.err
    rows = [line.split()[1:4] for line in lipstage("jobs").out.splitlines()[1:]]
    assert sorted(row[:2] for row in rows) == [["done", "acme"], ["done", "other"], ["rejected", "NO_FACE"]]


def heard(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")
    services.done(job_of(message), b"theirs", request_id="first")
    services.event("conflict", job_of(message), message="Another request has this job id.")


def unheard(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")


def in_use(services: Services, message: Any) -> None:
    services.claim(job_of(message), "first", b"another body")
    services.event("progress", job_of(message), request_id="first", stage="infer", percent=50, done=1, total=2)


@pytest.mark.parametrize("answer", [heard, unheard, in_use])
def test_an_earlier_job_of_the_same_id_is_not_ours(
    deployment: Connection,
    lipstage: Lipstage,
    files: tuple[Path, Path],
    tmp_path: Path,
    answer: Callable[[Services, Any], None],
) -> None:
    """Its end is said again when its record is delivered again; our own request will be refused, heard of or not."""
    with answering(deployment, answer):
        ran = render(lipstage, files, tmp_path / "x.mp4", "--job-id", "used")
    assert ran.code == 2
    assert "there is another job used: Another request has this job id." in ran.err
    assert "infer 50 %" not in ran.err
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(("body", "code", "cancels"), [(b"another body", 2, 0), (None, 130, 1)])
def test_an_interrupt_cancels_no_job_of_another_request(
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
    def interrupted(_: Connection, job: Job, *__: object, own: Submitted, **___: object) -> None:
        message = next(records(deployment, "render.requests"))
        services.claim(job.job_id, "first", message.value() if body is None else body)
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.cli.waiting.wait", interrupted)
    assert render(lipstage, files, tmp_path / "x.mp4", "--job-id", uuid.uuid4().hex).code == code
    consumer, topic = deployment.consumer(), deployment.settings.topic("render.cancel")
    ends = [span_of(consumer, topic, p)[1] for p in partitions_of(consumer, topic)]
    consumer.close()
    assert sum(ends) == cancels


def test_the_end_of_a_job_that_was_purged_is_not_the_new_ones(
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


def test_the_very_same_request_sent_twice_is_answered_by_the_first_ones_end(
    deployment: Connection, lipstage: Lipstage, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.claim(job_of(message), "first", message.value())
        services.done(job_of(message), request_id="first")

    with answering(deployment, answer):
        ran = render(lipstage, files, tmp_path / "x.mp4", "--job-id", "twice")
    assert ran.code == 0
    assert "the same request was sent before; this is what became of it (request first)" in ran.err
    assert (tmp_path / "x.mp4").read_bytes() == VIDEO


def test_the_example_takes_its_own_end_from_a_topic_that_grows(
    deployment: Connection, services: Services, files: tuple[Path, Path], tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("failed", job_of(message), tenant="other", **FAILED)
        services.grow("render.events", PARTITIONS + 4)
        services.event("accepted", job_of(message), engine="puppet", partition=PARTITIONS + 1)
        services.done(job_of(message), partition=PARTITIONS + 3)

    tail(deployment)  # Partitions that were made just now have leaders then.
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
