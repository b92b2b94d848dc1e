"""The client's own interface, as a notebook or a server uses it, on the real broker and store."""

import os
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from shared.client import (
    ArtifactUnavailable,
    BrokerUnreachable,
    BucketUnusable,
    Client,
    Deployment,
    InputBucketMissing,
    InvalidRequest,
    JobConflict,
    JobKey,
    JobNotFound,
    S3Access,
    StoreUnreachable,
    TargetUnwritable,
    TopicMissing,
    topic_log,
)
from shared.client.connection import Connection
from shared.client.uploads import Uploads
from shared.messages.events import AnyEvent, Done
from shared.messages.refs import InputRef
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings
from tests.client.services import VIDEO, Services, answering, job_of, records
from tests.conftest import FEW


def finish(services: Services, message: Any) -> None:
    job = job_of(message)
    services.claim(job, services.request_id, message.value())
    services.event("accepted", job, engine="puppet")
    services.event("started", job, stage="infer")
    services.done(job)


def test_render_returns_the_terminal_event_and_download_its_video(
    deployment: Connection, client: Client, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    spec = client.job_spec(portrait, str(speech), params={"seed": 7}, labels={"take": "1"})
    events: list[AnyEvent] = []
    with answering(deployment, finish):
        end = client.render(spec, on_event=events.append, timeout_s=60)
    assert isinstance(end, Done)
    assert [event.type for event in events] == ["accepted", "started", "done"]
    target = tmp_path / "new" / "video.mp4"
    client.download(end.video, target)
    assert target.read_bytes() == VIDEO
    assert [path.name for path in target.parent.iterdir()] == ["video.mp4"], "no temporary file is left"
    assert client.terminal_event(spec.job_id) == end
    assert client.job(spec.job_id).status == "done"
    assert [state.job_id for state in client.jobs(limit=5)] == [spec.job_id]
    assert client.jobs(tenant="acme") == []


def test_events_of_a_submission_include_those_of_the_past(
    deployment: Connection, client: Client, portrait: Path, speech: Path
) -> None:
    job = uuid.uuid4().hex
    submitted = client.submit(client.job_spec(portrait, speech, tenant="acme", job_id=job))
    assert submitted.key == JobKey("acme", job)
    message = next(records(deployment, "render.requests"))
    services = Services(deployment, message)
    assert services.request_id == submitted.request_id
    services.event("rejected", job, tenant="acme", request_id="old", stage="face", code="NO_FACE", message="before")
    services.event("accepted", job, tenant="acme", engine="puppet")
    services.done(job, tenant="acme")
    assert [event.type for event in client.events(submitted, timeout_s=60)] == ["accepted", "done"]
    assert client.wait(submitted, timeout_s=60).type == "done"


def test_a_job_id_of_another_request_is_a_conflict(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path
) -> None:
    job = uuid.uuid4().hex
    submitted = client.submit(client.job_spec(portrait, speech, job_id=job))
    services.claim(job, "first", b"another body")
    with pytest.raises(JobConflict):
        client.check_conflict(submitted)
    with pytest.raises(JobConflict, match="nothing was sent"):
        client.submit(client.job_spec(portrait, speech, job_id=job))
    services.done(job, request_id="first")
    with pytest.raises(JobConflict):
        client.wait(submitted, timeout_s=60)


def test_batch_is_checked_whole_and_submitted_one_by_one(
    deployment: Connection, client: Client, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    manifest = tmp_path / "jobs.csv"
    manifest.write_text(f"portrait,speech,job_id\nportrait.png,speech.wav,{first}\nportrait.png,speech.wav,{second}\n")
    specs = client.batch(manifest, labels={"set": "x"})
    submissions = client.submit_batch(specs)
    assert next(submissions).job_id == first
    assert job_of(next(records(deployment, "render.requests.bulk"))) == first, "before the second is sent"
    assert [one.job_id for one in submissions] == [second]


def test_the_same_request_is_not_sent_twice(
    deployment: Connection, client: Client, services: Services, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    spec = client.job_spec(portrait, speech, params={"seed": 7})
    first = client.submit(spec)
    services.claim(spec.job_id, first.request_id, next(records(deployment, "render.requests")).value())
    again = client.submit(client.job_spec(portrait, speech, params={"seed": 7}, job_id=spec.job_id))
    assert (again.is_repeat, again.request_id, again.body_sha256) == (True, first.request_id, first.body_sha256)
    services.done(spec.job_id, request_id=first.request_id)
    assert client.wait(again, timeout_s=60).type == "done"
    portrait.write_bytes(b"another picture")
    for other in ({"params": {"seed": 7}}, {"params": {"seed": 8}}):
        with pytest.raises(JobConflict, match="its files, parameters or batch differ"):
            client.submit(client.job_spec(portrait, speech, job_id=spec.job_id, **other))
    assert (
        len(list(topic_log.records(deployment, deployment.topic("render.requests"), dict.fromkeys(range(FEW), 0)))) == 1
    )


def test_a_file_that_changes_while_it_is_sent_is_refused(
    client: Client, portrait: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = client.job_spec(portrait, speech)
    put = Uploads.put

    def change(uploads: Uploads, path: Path, ref: InputRef) -> None:
        path.write_bytes(b"changed")
        put(uploads, path, ref)

    monkeypatch.setattr(Uploads, "put", change)
    with pytest.raises(InvalidRequest, match="changed while it was sent"):
        client.submit(spec)


def test_a_download_that_fails_leaves_no_file(client: Client, services: Services, tmp_path: Path) -> None:
    done = Done.model_validate(services.done(uuid.uuid4().hex))
    client.connection.artifacts.put_bytes(VIDEO[::-1], done.video.key)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactUnavailable, match="no longer available"):
        client.download(done.video, tmp_path / "out" / "x.mp4")
    with pytest.raises(ArtifactUnavailable, match="not configured"):
        client.download(done.poster.model_copy(update={"bucket": "elsewhere"}), tmp_path / "out" / "x.jpg")
    with pytest.raises(TargetUnwritable):
        client.download(done.poster, tmp_path / "folder")
    with pytest.raises(TargetUnwritable):
        client.download(done.poster, tmp_path / "file" / "x.jpg")
    assert list((tmp_path / "out").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file", "out"}


def test_whether_another_tenant_has_a_job_of_this_id_is_not_said(client: Client, services: Services) -> None:
    job = uuid.uuid4().hex
    services.event("accepted", job, tenant="acme", engine="puppet")
    with pytest.raises(JobNotFound) as raised:
        client.job(job)
    assert "acme" not in str((raised.value.message, raised.value.hint, raised.value.details))
    with pytest.raises(InvalidRequest):
        client.job("no job id")


def test_a_deployment_that_does_not_answer_is_unreachable(
    deployment: Connection, monkeypatch: pytest.MonkeyPatch, portrait: Path, speech: Path
) -> None:
    good = deployment.deployment
    with monkeypatch.context() as within, pytest.raises(BrokerUnreachable):
        within.setattr("shared.client.broker_check.ANSWER_S", 0.5)
        Client(Deployment(RuntimeSettings(bootstrap_servers="127.0.0.1:1"), good.storage, good.s3)).check()
    with pytest.raises(StoreUnreachable):
        Client(Deployment(good.runtime, good.storage, S3Access("http://127.0.0.1:1"))).check()
    with monkeypatch.context() as within, pytest.raises(StoreUnreachable, match="ProfileNotFound"):
        within.setenv("AWS_PROFILE", "no-such-profile")
        Client(Deployment(good.runtime, good.storage)).check()
    with pytest.raises(BucketUnusable, match="does not exist"):
        Client(Deployment(good.runtime, StorageSettings(bucket="no-such-bucket"), good.s3)).check()
    with pytest.raises(TopicMissing):
        Client(Deployment(RuntimeSettings(topic_prefix="nowhere."), good.storage, good.s3)).position()
    without_inputs = Client(Deployment(good.runtime, StorageSettings(input_buckets={"media": "elsewhere"}), good.s3))
    with pytest.raises(InputBucketMissing):
        without_inputs.submit(without_inputs.job_spec(portrait, speech))


def test_the_deployment_given_in_code_is_used_instead_of_the_environments(
    deployment: Connection, monkeypatch: pytest.MonkeyPatch, portrait: Path, speech: Path
) -> None:
    """Another broker, another store and other credentials are named there."""
    s3 = S3Access(
        os.environ["AWS_ENDPOINT_URL_S3"],
        "us-east-1",
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    given = Deployment(deployment.settings, deployment.storage_settings, s3, "http://127.0.0.1:9")
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(given) as client:
        client.check()
        client.submit(client.job_spec(portrait, speech, job_id="here"))
    assert job_of(next(records(deployment, "render.requests"))) == "here"
    assert str(s3.secret_key) not in repr(given)


def test_a_client_leaves_process_and_terminal_alone(
    deployment: Connection, client: Client, portrait: Path, speech: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment, umask = dict(os.environ), os.umask(0o022)
    os.umask(umask)
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    with answering(deployment, finish):
        end = client.render(client.job_spec(portrait, speech), timeout_s=60)
    assert isinstance(end, Done)
    client.download(end.poster, portrait.with_name("poster.jpg"))
    client.close()
    assert dict(os.environ) == environment
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
    assert capfd.readouterr() == ("", "")
    assert portrait.with_name("poster.jpg").stat().st_mode & 0o777 == 0o666 & ~umask
