"""Batches are found by their requests and events, followed to their end, downloaded and cancelled."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client import (
    BatchState,
    Client,
    InvalidRequest,
    JobKey,
    JobNotFound,
    TargetExists,
    WaitTimeout,
    batches,
    topic_log,
)
from shared.client.connection import Connection
from tests.client.services import VIDEO, Services, records

MANY = 300


def place(index: int, total: int, batch: str = "b1") -> dict[str, Any]:
    return {"batch": {"id": batch, "index": index, "total": total}}


@pytest.fixture
def manifest(portrait: Path, speech: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text("portrait,speech,labels.take\n" + "".join(f"portrait.png,speech.wav,take {n}\n" for n in range(3)))
    return path


def test_a_repeated_batch_sends_only_what_is_missing(
    deployment: Connection, client: Client, services: Services, manifest: Path
) -> None:
    specs = client.batch(manifest, batch_id="b1")
    first = client.submit(specs[0])
    message = next(records(deployment, "render.requests.bulk"))
    services.claim(first.job_id, first.request_id, message.value())
    again = list(client.submit_batch(client.batch(manifest, batch_id="b1")))
    assert [one.is_repeat for one in again] == [True, False, False]
    assert [one.job_id for one in again] == [spec.job_id for spec in specs]
    state = client.batch_state("b1")
    assert (state.total, len(state.jobs), state.missing, state.counts) == (3, 3, 0, {"queued": 3})
    assert [job.labels["take"] for job in state.ordered()] == ["take 0", "take 1", "take 2"]


def test_a_batch_of_hundreds_of_jobs_is_counted_and_followed_to_its_end(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MANY):
        services.event("accepted", f"job-{number}", engine="puppet", **place(number, MANY))
        services.event("accepted", f"job-{number}", engine="puppet", tenant="acme", **place(number, MANY))
        services.event("accepted", f"other-{number}", engine="puppet", labels={"not": "b1"})
    for number in range(MANY - 2):
        kind = {"stage": "face", "code": "NO_FACE", "message": "m"}
        services.event("rejected" if number % 2 else "failed", f"job-{number}", **kind, **place(number, MANY))
    state = client.batch_state("b1")
    half = MANY // 2 - 1
    assert state.counts == {"accepted": 2, "rejected": half, "failed": half}
    assert (state.total, state.ended, state.cut, state.has_ended) == (MANY, MANY - 2, False, False)
    with pytest.raises(WaitTimeout):
        list(client.follow_batch(state, timeout_s=0.2))
    for number in (MANY - 2, MANY - 1):
        services.event("failed", f"job-{number}", stage="infer", code="INTERNAL", message="m", **place(number, MANY))
    followed = list(client.follow_batch(state, timeout_s=60))
    assert {event.job_id for event, _ in followed if event is not None} == {f"job-{MANY - 2}", f"job-{MANY - 1}"}
    assert state.has_ended
    assert list(client.follow_batch(state)) == [], "nothing is waited for"


def test_a_bounded_read_says_that_it_was_cut_and_asks_the_object_store(client: Client, services: Services) -> None:
    batch, ended = uuid.uuid4().hex, uuid.uuid4().hex
    services.done(ended, **place(0, 1, batch))
    for number in range(64):
        services.event("accepted", f"later-{number}", engine="puppet")
    with pytest.raises(JobNotFound, match="older requests and events were not read"):
        client.batch_state(batch, max_events=1)
    services.event("progress", ended, stage="infer", percent=1, done=1, total=9, **place(0, 1, batch))
    partition_end = client.batch_state(batch, max_events=16)
    assert partition_end.cut
    assert partition_end.counts == {"done": 1}


def test_the_end_of_a_job_that_no_event_tells_is_read_from_the_object_store(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "STORE_CHECK_S", 0.2)
    job = uuid.uuid4().hex
    services.event("accepted", job, engine="puppet", **place(0, 1))
    state = client.batch_state("b1")
    services.done(job)  # Its event names no batch.
    assert [event for event, _ in client.follow_batch(state, timeout_s=60)] == [None]
    assert state.counts == {"done": 1}


def test_another_tenants_batch_is_unknown(client: Client, services: Services) -> None:
    services.event("accepted", "j", engine="puppet", tenant="acme", **place(0, 1))
    with pytest.raises(JobNotFound):
        client.batch_state("b1")
    assert len(client.batch_state("b1", tenant="acme").jobs) == 1
    with pytest.raises(InvalidRequest):
        client.batch_state("b 1")


def test_the_jobs_that_have_not_ended_are_cancelled(
    deployment: Connection, client: Client, services: Services, manifest: Path
) -> None:
    """Those that no service has taken, too."""
    queued = [submission.job_id for submission in client.submit_batch(client.batch(manifest, batch_id="b1"))]
    services.event("failed", queued[0], stage="infer", code="INTERNAL", message="m", **place(0, 3))
    assert client.cancel_batch(client.batch_state("b1")) == [JobKey("default", job) for job in queued[1:]]
    topic = deployment.topic("render.cancel")
    sent = [
        json.loads(m.value() or b"")["job_id"] for m in topic_log.records(deployment, topic, dict.fromkeys(range(4), 0))
    ]
    assert sorted(sent) == sorted(queued[1:])


def finished(client: Client, services: Services, takes: list[str]) -> BatchState:
    for number, take in enumerate(takes):
        services.done(
            f"{uuid.uuid4().hex}", VIDEO + str(number).encode(), labels={"take": take}, **place(number, len(takes))
        )
    return client.batch_state("b1")


def test_videos_are_fetched_once_and_never_overwritten(client: Client, services: Services, tmp_path: Path) -> None:
    state, folder = finished(client, services, ["a", "b", "c"]), tmp_path / "videos"
    jobs = [job.job_id for job in state.ordered()]
    first = list(client.fetch_batch(state, folder))
    assert [(file.path.name, file.was_present) for file in first] == [(f"{job}.mp4", False) for job in jobs]
    assert [file.path.read_bytes() for file in first] == [VIDEO + b"0", VIDEO + b"1", VIDEO + b"2"]
    first[1].path.unlink()
    again = list(client.fetch_batch(state, folder))
    assert [file.was_present for file in again] == [True, False, True], "it continues where it was interrupted"
    first[2].path.write_bytes(b"edited")
    with pytest.raises(TargetExists, match=rf"files with other content exist in .*: {jobs[2]}\.mp4"):
        list(client.fetch_batch(state, folder))
    assert first[2].path.read_bytes() == b"edited"
    assert [file.was_present for file in client.fetch_batch(state, folder, force=True)] == [True, True, False]
    assert first[2].path.read_bytes() == VIDEO + b"2"
    assert {path.suffix for path in folder.iterdir()} == {".mp4"}, "no temporary file is left"


def test_files_are_named_by_a_label(client: Client, services: Services, tmp_path: Path) -> None:
    state = finished(client, services, ["take 1", "take 2"])
    named = client.fetch_batch(state, tmp_path / "videos", label="take", poster=True)
    assert [file.path.name for file in named] == ["take 1.jpg", "take 2.jpg"]
    with pytest.raises(InvalidRequest, match="has no label scene"):
        list(client.fetch_batch(state, tmp_path / "videos", label="scene"))


@pytest.mark.parametrize(
    ("takes", "words"),
    [
        (["same", "same"], "both be written to same.mp4"),
        (["../x"], "can't be a file name"),
        ([".x"], "can't be a file"),
    ],
)
def test_labels_that_cannot_be_file_names_are_refused_before_any_download(
    client: Client, services: Services, tmp_path: Path, takes: list[str], words: str
) -> None:
    state = finished(client, services, takes)
    with pytest.raises(InvalidRequest, match=words):
        list(client.fetch_batch(state, tmp_path / "videos", label="take"))
    assert not (tmp_path / "videos").exists()


def test_a_video_that_is_gone_does_not_stop_the_others(client: Client, services: Services, tmp_path: Path) -> None:
    state = finished(client, services, ["a", "b"])
    first = state.ordered()[0].terminal_event
    assert first is not None
    assert first.type == "done"
    client.connection.artifacts.delete([first.video.key])
    files = list(client.fetch_batch(state, tmp_path / "videos"))
    assert [file.error is None for file in files] == [False, True]
