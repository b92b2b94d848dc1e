"""Commands on the real broker and store, with a scripted stand-in for the services."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client.connection import Connection
from shared.messages.events import RejectedEvent
from shared.messages.refs import InputRef
from shared.storage import markers
from shared.storage.markers import RequestRecord
from tests.cli.conftest import Lipstage
from tests.client.services import VIDEO, Services, answering, job_of, now_ms, records


def test_submit_uploads_and_sends_one_traced_record(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path
) -> None:
    ran = lipstage("submit", portrait, speech, "--set", "seed=7", "--set", "labels.take=1")
    assert ran.code == 0
    message = next(records(deployment, "render.requests"))
    job = ran.out.strip()
    assert message.key().decode() == job
    body = json.loads(message.value())
    assert body["job_id"] == job
    assert body["params"] == {"seed": 7}
    assert body["labels"] == {"take": "1"}
    assert [name for name, _ in message.headers()].count("traceparent") == 1
    ref = InputRef.model_validate(body["portrait"])
    assert ref.sha256 == hashlib.sha256(portrait.read_bytes()).hexdigest()
    stored = deployment.s3.get_object(Bucket="lipstage-inputs", Key=ref.key)
    assert stored["Body"].read() == portrait.read_bytes()
    assert ref.key.startswith("default/")
    assert portrait.name not in ref.key


def test_batch_prints_an_id_per_line(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "jobs.csv"
    manifest.write_text("portrait,speech\nportrait.png,speech.wav\nportrait.png,speech.wav\n")
    ran = lipstage("submit", "--batch", manifest, "--json")
    assert ran.code == 0
    ids = {json.loads(line)["job_id"] for line in ran.out.splitlines()}
    found = records(deployment, "render.requests.bulk")
    assert {job_of(next(found)), job_of(next(found))} == ids
    assert len(ids) == 2


def test_render_follows_and_fetches(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        job = job_of(message)
        services.event("accepted", job, engine="puppet")
        services.event("started", job, stage="infer")
        services.event("done", "another-job-on-some-partition", stage="infer")
        services.event("finished", job, stage="infer", seconds=4.0)
        services.done(job)

    target = tmp_path / "new" / "video.mp4"
    target.parent.mkdir()
    with answering(deployment, answer):
        ran = lipstage("render", portrait, speech, "-o", target)
    assert ran.code == 0
    assert target.read_bytes() == VIDEO
    assert [p.name for p in target.parent.iterdir()] == ["video.mp4"], "no temporary file stays"
    assert "infer started\ninfer finished in 4.00 s" in ran.err
    assert "5.00 s for 10.00 s of video (2.00 x real time)" in ran.out
    assert "\x1b" not in ran.out + ran.err


def test_a_rejected_job_is_code_2_with_advice(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("rejected", job_of(message), stage="face", code="NO_FACE", message="No face was found.")

    with answering(deployment, answer):
        ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4")
    assert ran.code == 2
    assert "NO_FACE: No face was found." in ran.err
    assert "one face is clearly visible" in ran.err
    assert not (tmp_path / "x.mp4").exists()


def test_a_failed_job_is_code_1_and_one_json_document(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("failed", job_of(message), stage="infer", code="CRASH_LOOP", message="m")

    with answering(deployment, answer):
        ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4", "--json")
    assert ran.code == 1
    assert ran.json["code"] == "CRASH_LOOP"


def test_only_a_conflict_of_the_own_request_ends_the_command(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    def answer(services: Services, message: Any) -> None:
        services.event("conflict", job_of(message), request_id="somebody-else", message="theirs")
        services.event("conflict", job_of(message), message="taken")

    with answering(deployment, answer):
        ran = lipstage("render", portrait, speech, "-o", tmp_path / "x.mp4", "--job-id", "taken-id")
    assert ran.code == 2
    assert "another job taken-id: taken" in ran.err


def test_an_altered_video_is_not_written(deployment: Connection, lipstage: Lipstage, tmp_path: Path) -> None:
    job = uuid.uuid4().hex
    body = Services(deployment).done(job)
    deployment.artifacts.put_bytes(VIDEO[::-1], body["video"]["key"])
    ran = lipstage("fetch", job, "-o", tmp_path / "x.mp4")
    assert ran.code == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_cancels_the_job(deployment: Connection, portrait: Path, speech: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shared.cli.main", "render", str(portrait), str(speech), "-o", str(tmp_path / "x")]

    def restore_sigint() -> None:
        # A test run in the background has SIGINT ignored, and its children would inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=dict(os.environ), preexec_fn=restore_sigint
    ) as process:
        message = next(records(deployment, "render.requests"))
        assert process.stderr is not None
        assert "submitted" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        try:
            rest = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == 130
    assert f"cancelling job {job_of(message)}" in rest
    cancel = next(records(deployment, "render.cancel"))
    assert cancel.key() == b"default/" + message.key()
    assert json.loads(cancel.value()).keys() == {"job_id", "tenant", "at_ms"}


def test_jobs_job_watch_and_fetch(deployment: Connection, lipstage: Lipstage, tmp_path: Path) -> None:
    services = Services(deployment)
    finished, running = uuid.uuid4().hex, uuid.uuid4().hex
    services.event("accepted", finished, engine="puppet", trace_id="ab" * 16)
    services.done(finished)
    services.event("started", running, stage="face", time_ms=now_ms() + 60_000)
    shown = lipstage("jobs")
    assert [line.split()[:3] for line in shown.out.splitlines()[1:]] == [
        [running, "running", "default"],
        [finished, "done", "default"],
    ]
    assert lipstage("jobs", "--tenant", "acme").out == ""
    assert len(lipstage("jobs", "-n", "1").out.splitlines()) == 2
    assert lipstage("job", finished, "--json").json["trace_id"] == "ab" * 16
    assert "finished in 4.00 s" in lipstage("job", finished).out
    watched = lipstage("watch", finished, "--json")
    assert watched.code == 0
    assert [json.loads(line)["type"] for line in watched.out.splitlines()] == ["accepted", "done"]
    late = lipstage("watch", running, "--timeout", "0.5")
    assert (late.code, "it continues" in late.err) == (1, True)
    assert lipstage("fetch", running, "-o", tmp_path / "x.mp4").code == 1
    assert lipstage("fetch", finished, "-o", tmp_path / "x.jpg", "--poster").code == 0
    assert (tmp_path / "x.jpg").read_bytes() == b"jpg"
    assert lipstage("job", "nobody").code == 2


def test_a_job_without_events_is_shown_from_the_object_store(deployment: Connection, lipstage: Lipstage) -> None:
    job = uuid.uuid4().hex
    end = RejectedEvent.model_validate(
        {"job_id": job, "tenant": "acme", "request_id": "r", "time_ms": 1, "stage": "audio"}
        | {"code": "AUDIO_EMPTY", "message": "No samples."}
    )
    markers.claim_end(deployment.documents, "acme", job, end)
    assert lipstage("job", job).code == 2, "another tenant's"
    assert "rejected AUDIO_EMPTY" in lipstage("job", job, "--tenant", "acme").out
    assert lipstage("watch", job, "--tenant", "acme").code == 2


def test_cancel_says_what_it_did(deployment: Connection, lipstage: Lipstage) -> None:
    services = Services(deployment)
    running, theirs, ended = (uuid.uuid4().hex for _ in range(3))
    services.event("accepted", running, engine="puppet")
    services.event("accepted", theirs, tenant="acme", engine="puppet")
    services.event("failed", ended, stage="infer", code="CANCELLED", message="m")
    for job, words in ((theirs, f"no job {theirs}"), ("nobody", "no job nobody"), (ended, "it was cancelled")):
        refused = lipstage("cancel", job)
        assert (refused.code, words in refused.err, refused.out) == (2, True, ""), job
    assert "acme" not in lipstage("cancel", theirs).err
    assert lipstage("cancel", running).out == f"cancel of {running} sent\n"
    assert lipstage("cancel", theirs, "--tenant", "acme").code == 0
    found = records(deployment, "render.cancel")
    keys_sent = {next(found).key(), next(found).key()}
    assert keys_sent == {f"default/{running}".encode(), f"acme/{theirs}".encode()}, "none replaces the other"
    assert lipstage("cancel", "no such id").code == 2
    assert lipstage("cancel").code == 2
    assert lipstage("topics", "apply").code == 0
    assert lipstage("topics", "diff").code == 0
    assert lipstage("topics", "diff", "--json").json == []


def test_cancel_waits_for_the_end(deployment: Connection, lipstage: Lipstage) -> None:
    services = Services(deployment)
    job, late = uuid.uuid4().hex, uuid.uuid4().hex
    for one in (job, late):
        services.event("accepted", one, engine="puppet")

    def serve() -> None:
        next(records(deployment, "render.cancel"))
        services.event("failed", job, stage="infer", code="CANCELLED", message="m")

    thread = threading.Thread(target=serve)
    thread.start()
    ran = lipstage("cancel", job, "--wait")
    thread.join()
    assert (ran.code, ran.out) == (0, f"job {job} is cancelled\n")


def test_watch_of_an_unknown_job_ends_at_once_unless_it_is_to_wait(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path
) -> None:
    unknown = lipstage("watch", "nobody")
    assert (unknown.code, "--wait" in unknown.err) == (2, True)
    late = lipstage("watch", "nobody", "--wait", "--timeout", "0.5")
    assert (late.code, "nothing is known of nobody yet; waiting" in late.err) == (1, True)
    mine = lipstage("submit", portrait, speech).out.strip()
    queued = lipstage("watch", mine, "--timeout", "0.5")
    assert (queued.code, f"job {mine} is queued: no service has taken it yet" in queued.err) == (1, True)
    assert "no service consumes audio, face, infer, encode" in queued.err
    assert "`lipstage up`" in queued.err
    assert f"LIPSTAGE_TOPIC_PREFIX is {deployment.settings.topic_prefix}" in queued.err


def test_submit_of_a_job_id_that_is_in_use_says_so(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path
) -> None:
    job = uuid.uuid4().hex
    first = lipstage("submit", portrait, speech, "--job-id", job)
    assert "no service consumes audio, face, infer, encode" in first.err
    assert f"`lipstage watch {job}`; then `lipstage fetch {job} -o FILE.mp4`" in first.err
    message = next(records(deployment, "render.requests"))
    services = Services(deployment, message)
    services.claim(job, services.request_id, message.value())
    again = lipstage("submit", portrait, speech, "--job-id", job)
    assert (again.code, again.out) == (0, f"{job}\n")
    assert "the same request was submitted before, nothing was sent: it has not ended" in again.err
    services.event("rejected", job, stage="face", code="NO_FACE", message="m")
    other = lipstage("submit", portrait, speech, "--job-id", job, "--set", "seed=1")
    assert (other.code, other.out) == (2, "")
    assert f"there is another job {job}: its files, parameters or batch differ; nothing was sent" in other.err
    assert f"`lipstage job {job}`" in other.err


def test_purge_reports_what_it_deleted_and_what_stays(
    deployment: Connection, lipstage: Lipstage, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    job = lipstage("submit", portrait, speech).out.strip()
    body = json.loads(next(records(deployment, "render.requests")).value())
    deployment.s3.put_object(Bucket="lipstage-inputs", Key="default/shared.wav", Body=b"somebody's")
    uploaded = InputRef.model_validate(body["portrait"])
    record = RequestRecord(request_id="r", body_sha256="0" * 64, inputs=(uploaded, InputRef(key="default/shared.wav")))
    markers.claim_request(deployment.documents, "default", job, record)
    refused = lipstage("erase", job)
    assert (refused.code, "has not ended" in refused.err) == (1, True)
    Services(deployment).done(job)
    purged = lipstage("erase", job)
    lines = [line.split()[:4] for line in purged.out.splitlines()]
    assert lines[0] == ["job", job, "erased"]
    assert ["deleted", "video", "1", str(len(VIDEO))] in lines
    assert ["deleted", "inputs", "2", str(portrait.stat().st_size + speech.stat().st_size)] in lines
    assert ["kept", "other", "inputs", "1"] in lines
    assert max(len(line) for line in purged.out.splitlines()) <= 60
    left = {entry["Key"] for entry in deployment.s3.list_objects_v2(Bucket="lipstage-inputs")["Contents"]}
    assert "default/shared.wav" in left
    assert uploaded.key not in left
    for command in (
        ["erase", job, "--json"],
        ["cancel", job],
        ["watch", job],
        ["fetch", job, "-o", tmp_path / "x.mp4"],
    ):
        ran = lipstage(*command)
        assert (ran.code, "was purged at" in ran.err, ran.out) == (2, True, ""), command
    assert "status   purged" in lipstage("job", job).out
    assert lipstage("jobs").out.splitlines()[1].split()[:2] == [job, "purged"]
    assert lipstage("erase", "nobody").code == 2


def test_purge_of_an_owner_asks_and_purges_what_it_has_shown(deployment: Connection, lipstage: Lipstage) -> None:
    services, tenant = Services(deployment), f"t{uuid.uuid4().hex[:12]}"
    jobs = [uuid.uuid4().hex for _ in range(3)]
    for job, owner in zip(jobs, ("ann", "ann", "bob"), strict=True):
        record = RequestRecord(request_id="r", body_sha256="0" * 64, owner=owner)
        markers.claim_request(deployment.documents, tenant, job, record)
        services.done(job, tenant=tenant)
    options = ["erase", "--owner", "ann", "--tenant", tenant]
    looked = lipstage(*options, "--dry-run", "--json").json
    assert ([one["job_id"] for one in looked["jobs"]], looked["objects"]) == (sorted(jobs[:2]), 8)
    unasked = lipstage(*options)
    assert (unasked.code, "confirm with --yes" in unasked.err) == (2, True)
    ran = lipstage(*options, "--yes")
    assert (ran.code, ran.out.split(":")[0]) == (0, "2 jobs erased")
    assert f"2 jobs of the owner ann of the tenant {tenant}: 8 objects" in ran.err
    assert lipstage(*options, "--yes").code == 2, "nothing is left"
    assert lipstage("job", jobs[2], "--tenant", tenant, "--json").json["status"] == "done"
    assert lipstage("erase").code == 2
    assert lipstage("erase", jobs[2], "--owner", "bob").code == 2
    both = lipstage("erase", jobs[0], jobs[2], "--tenant", tenant)
    erased = lipstage("audit", "--erasures", "--tenant", tenant, "--json").out.splitlines()
    assert sorted(json.loads(line)["job_id"] for line in erased) == sorted(jobs)
    assert jobs[0] in lipstage("audit", "--erasures", "--tenant", tenant).out
    assert lipstage("audit", "--erasures", "--owner", "ann").code == 2
    assert lipstage("purge", "nobody").code == 2, "the former name of the command"
    assert (both.code, f"job {jobs[2]} erased" in both.out, "was purged at" in both.err) == (0, True, True)


def test_jobs_are_filtered(deployment: Connection, lipstage: Lipstage) -> None:
    services = Services(deployment)
    old, new, batched = "old", "new", "batched"
    services.event("accepted", old, engine="puppet", time_ms=now_ms() - 3 * 3_600_000)
    services.event("failed", new, stage="infer", code="CRASH_LOOP", message="m")
    services.event("accepted", batched, engine="puppet", tenant="acme", batch={"id": "b1", "index": 0, "total": 2})

    def ids(*options: str) -> set[str]:
        return {json.loads(line)["job_id"] for line in lipstage("jobs", "--json", *options).out.splitlines()}

    assert ids() == {old, new, batched}
    assert ids("--since", "2h") == {new, batched}
    assert ids("--since", "4h", "--status", "accepted") == {old, batched}
    assert ids("--status", "failed", "--status", "done") == {new}
    assert ids("--batch", "b1") == {batched}
    assert ids("--tenant", "default", "--since", "2020-01-01") == {old, new}
    assert lipstage("jobs", "--status", "finished").code == 2
    wrong = lipstage("jobs", "--since", "yesterday")
    assert (wrong.code, "2h" in wrong.err) == (2, True)
    nothing = lipstage("jobs", "--batch", "b2")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "no job matches\n")


def test_exports_lead_to_the_stack(deployment: Connection, lipstage: Lipstage) -> None:
    hidden = lipstage("config").out
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    assert secret not in hidden
    assert secret not in lipstage("config", "--json").out
    assert f"export AWS_SECRET_ACCESS_KEY={secret}" in lipstage("config", "--env").out


def test_no_broker_is_code_3(lipstage: Lipstage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("shared.client.broker_check.ANSWER_S", 0.5)
    ran = lipstage("jobs")
    assert ran.code == 3
    assert "no Kafka broker answers at 127.0.0.1:1" in ran.err
