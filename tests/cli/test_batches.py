"""Batches on the command line: checked, sent, repeated, watched, fetched and cancelled."""

import json
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client, JobSpec, StoreUnreachable, Submission, topic_log
from shared.client.connection import Connection
from shared.messages.topics import REQUEST_TOPICS
from tests.cli.conftest import Lipstage
from tests.client.services import VIDEO, Services, job_of, records


@pytest.fixture
def manifest(portrait: Path, speech: Path, tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text("portrait,speech,seed\n" + "".join(f"portrait.png,speech.wav,{seed}\n" for seed in range(3)))
    return path


def requests(connection: Connection) -> list[str]:
    return [
        job_of(message)
        for topic in map(connection.topic, REQUEST_TOPICS)
        for message in topic_log.records(connection, topic, topic_log.newest(connection, topic, 1000).offsets)
    ]


def place(index: int, total: int, batch: str) -> dict[str, Any]:
    return {"batch": {"id": batch, "index": index, "total": total}}


@pytest.mark.usefixtures("nowhere")
def test_a_dry_run_checks_everything_and_contacts_nothing(lipstage: Lipstage, manifest: Path) -> None:
    ran = lipstage("submit", "--batch", manifest, "--batch-id", "b1", "--dry-run", "--json")
    assert ran.code == 0
    assert [json.loads(line)["batch"] for line in ran.out.splitlines()] == ["b1"] * 3
    assert "3 jobs checked; nothing was sent" in ran.err
    manifest.write_text(manifest.read_text() + "portrait.png,gone.wav,-1\n")
    refused = lipstage("submit", "--batch", manifest, "--dry-run")
    assert refused.code == 2
    assert "line 5, column speech, value gone.wav" in refused.err
    assert "line 5, column seed, value -1" in refused.err
    assert lipstage("submit", manifest, manifest, "--batch-id", "b1").code == 2


def test_the_batch_id_is_printed_and_a_repeat_sends_what_is_missing(
    deployment: Connection, lipstage: Lipstage, manifest: Path
) -> None:
    batch = uuid.uuid4().hex
    first = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert first.code == 0
    assert f"batch {batch}: 3 jobs" in first.err
    assert "no service consumes audio, face, infer, encode" in first.err
    assert f"lipstage watch --batch {batch}" in first.err
    assert f"lipstage fetch --batch {batch} -o FOLDER" in first.err
    message = next(m for m in records(deployment, "render.requests") if job_of(m) == first.out.splitlines()[0])
    services = Services(deployment, message)
    services.claim(job_of(message), services.request_id, message.value())
    again = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert again.out == first.out, "the same jobs"
    assert "0 of 3 jobs sent, 3 were submitted before" in again.err, "also those that wait in the queue"
    assert len(requests(deployment)) == 3
    manifest.write_text(manifest.read_text().replace(",0\n", ",9\n"))
    changed = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert changed.code == 2
    assert "1 of 3 jobs were not submitted:" in changed.err
    assert f"there is another job {job_of(message)}" in changed.err
    assert "for other files, parameters or rows, choose another --batch-id" in changed.err
    fresh = [lipstage("submit", "--batch", manifest, "--json").out.splitlines() for _ in range(2)]
    assert len({json.loads(line)["batch"] for lines in fresh for line in lines}) == 2
    assert len({json.loads(line)["job_id"] for lines in fresh for line in lines}) == 6


def test_an_interrupted_batch_says_what_was_sent_and_how_to_continue(
    deployment: Connection, lipstage: Lipstage, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest.rename(manifest.with_name("my 'big' jobs.csv"))
    submit, sent = Client.submit, list[str]()

    def fail_at_the_second(client: Client, spec: JobSpec) -> Submission:
        if sent:
            raise StoreUnreachable("the object store does not answer")
        sent.append(spec.job_id)
        return submit(client, spec)

    monkeypatch.setattr(Client, "submit", fail_at_the_second)
    ran = lipstage("submit", "--batch", manifest, "--batch-id", "b1", "--tenant", "acme")
    assert (ran.code, ran.out) == (3, f"{sent[0]}\n")
    assert "1 of 3 jobs sent" in ran.err
    (command,) = (line for line in ran.err.splitlines() if line.startswith("  lipstage"))
    assert shlex.split(command) == [
        *("lipstage", "submit", "--batch", str(manifest)),
        *("--batch-id", "b1", "--tenant", "acme"),
    ]


def claim_all(connection: Connection) -> None:
    """As the front of the pipeline does: every request that was sent claims its job id."""
    for topic in map(connection.topic, REQUEST_TOPICS):
        for message in topic_log.records(connection, topic, topic_log.newest(connection, topic, 1000).offsets):
            services = Services(connection, message)
            services.claim(job_of(message), services.request_id, message.value())


def test_a_manifest_with_job_ids_belongs_to_its_batch(
    deployment: Connection, lipstage: Lipstage, manifest: Path
) -> None:
    batch, job = uuid.uuid4().hex, uuid.uuid4().hex
    head, *rows = manifest.read_text().splitlines()
    named = [f"{head},job_id", *(f"{row},{job}-{number}" for number, row in enumerate(rows))]
    manifest.write_text("\n".join(named))
    assert lipstage("submit", "--batch", manifest, "--batch-id", batch).code == 0
    claim_all(deployment)
    again = lipstage("submit", "--batch", manifest)
    assert again.code == 2
    assert "3 of 3 jobs were not submitted:" in again.err
    assert f"there is another job {job}-0: its files, parameters or batch differ; nothing was sent" in again.err
    assert (
        f"job {job}-0 belongs to the batch {batch}: repeat with --batch-id {batch}, or change the job_ids" in again.err
    )
    assert "lipstage watch" not in again.err, "there is nothing to follow"
    repeated = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert (repeated.code, "3 were submitted before" in repeated.err) == (0, True)
    assert f"lipstage watch --batch {batch}" in repeated.err
    manifest.write_text("\n".join(named[:3]))
    shorter = lipstage("submit", "--batch", manifest, "--batch-id", batch)
    assert f"job {job}-0 was row 1 of 3 of this batch: for other rows, change the job_ids" in shorter.err
    manifest.write_text("\n".join([named[0], *(f"{row}{number}" for number, row in enumerate(named[1:]))]))
    assert lipstage("submit", "--batch", manifest, "--batch-id", batch).code == 0, "the ids are new"


def test_a_job_id_from_outside_a_batch_is_refused_with_the_reason(
    deployment: Connection, lipstage: Lipstage, manifest: Path, portrait: Path, speech: Path
) -> None:
    job = uuid.uuid4().hex
    assert lipstage("submit", portrait, speech, "--job-id", job).code == 0
    claim_all(deployment)
    manifest.write_text(f"portrait,speech,job_id\nportrait.png,speech.wav,{job}\n")
    refused = lipstage("submit", "--batch", manifest)
    assert (refused.code, "0 of 1 job sent" in refused.err) == (2, True)
    assert f"job {job} was submitted outside a batch: change the job_ids" in refused.err


def test_watch_ends_with_the_batch_and_tells_failures(deployment: Connection, lipstage: Lipstage) -> None:
    services, batch = Services(deployment), uuid.uuid4().hex
    done, rejected = uuid.uuid4().hex, uuid.uuid4().hex
    services.done(done, **place(0, 2, batch))
    incomplete = lipstage("watch", "--batch", batch)
    assert incomplete.code == 1
    assert "1 of 2 jobs of the manifest are not known: submit the batch again" in incomplete.err
    services.event("accepted", rejected, engine="puppet", **place(1, 2, batch))
    late = lipstage("watch", "--batch", batch, "--timeout", "0.5")
    assert (late.code, f"the batch {batch} has not ended" in late.err) == (1, True)
    assert "1 of 2: 1 accepted, 1 done" in late.err
    services.event("rejected", rejected, stage="face", code="NO_FACE", message="m", **place(1, 2, batch))
    ended = lipstage("watch", "--batch", batch)
    assert ended.code == 1
    assert ended.out.splitlines() == [f"batch {batch}: 1 done, 1 rejected", f"  {rejected}  rejected NO_FACE"]
    assert f"lipstage fetch --batch {batch} -o FOLDER" in ended.err
    assert lipstage("watch", "--batch", batch, "--json").json["counts"] == {"done": 1, "rejected": 1}
    assert lipstage("watch", "--batch", "nobody").code == 2
    assert lipstage("watch", done, "--batch", batch).code == 2
    services.event("conflict", done + "x", message="m", **place(1, 2, "lost"))
    services.done(uuid.uuid4().hex, **place(0, 2, "lost"))
    lost = lipstage("watch", "--batch", "lost")
    assert lost.code == 1
    assert lost.out.splitlines() == [
        "batch lost: 1 done, 1 refused",
        f"  {done}x  refused: another request has this job id",
    ]
    services.done(uuid.uuid4().hex, **place(0, 1, "whole"))
    assert lipstage("watch", "--batch", "whole").code == 0


def test_fetch_says_what_is_there_and_what_is_not(deployment: Connection, lipstage: Lipstage, tmp_path: Path) -> None:
    services, batch, folder = Services(deployment), uuid.uuid4().hex, tmp_path / "videos"
    done, running, failed = (uuid.uuid4().hex for _ in range(3))
    services.done(done, **place(0, 4, batch))
    services.event("accepted", running, engine="puppet", **place(1, 4, batch))
    services.event("failed", failed, stage="infer", code="INTERNAL", message="m", **place(2, 4, batch))
    first = lipstage("fetch", "--batch", batch, "-o", folder)
    assert (first.code, first.out) == (1, f"{folder / done}.mp4\n")
    assert (folder / f"{done}.mp4").read_bytes() == VIDEO
    assert "1 fetched, 1 not finished, 1 without a video, 1 not known" in first.err
    services.done(running, **place(1, 4, batch))
    assert "1 fetched, 1 already there" in lipstage("fetch", "--batch", batch, "-o", folder).err
    (folder / f"{done}.mp4").write_bytes(b"edited")
    refused = lipstage("fetch", "--batch", batch, "-o", folder)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert (folder / f"{done}.mp4").read_bytes() == b"edited"
    assert lipstage("fetch", "--batch", batch, "-o", folder / f"{done}.mp4").code == 2, "not a folder"
    assert lipstage("fetch", "--batch", batch).code == 2


def test_cancel_and_purge_of_a_batch(deployment: Connection, lipstage: Lipstage, manifest: Path) -> None:
    services, batch = Services(deployment), uuid.uuid4().hex
    jobs = lipstage("submit", "--batch", manifest, "--batch-id", batch).out.split()
    assert lipstage("erase", "--batch", batch).code == 1, "none has ended"
    for index, job in enumerate(jobs[1:], 1):
        services.claim(job, "r", b"body")
        services.done(job, **place(index, 3, batch))
    assert lipstage("cancel", "--batch", batch).out == "1 of 3 jobs cancelled\n"
    ended = lipstage("cancel", "--batch", batch)
    assert (ended.code, "has ended already" in ended.err) == (2, True)
    purged = lipstage("erase", "--batch", batch, "--json").json
    assert (purged["purged"], purged["not_finished"]) == (3, 0)
    assert purged["objects"] == 10, "two uploads of each job, a video and a poster of those that are done"
    assert lipstage("erase", "--batch", batch).code == 2
    assert {json.loads(line)["status"] for line in lipstage("jobs", "--batch", batch, "--json").out.splitlines()} == {
        "purged"
    }
