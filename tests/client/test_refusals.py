"""What a client refuses on this machine, and how: nothing here needs a broker or a store."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError as BotoError

from shared.cli import connection as cli_connection
from shared.cli import failures
from shared.cli.errors import START
from shared.client import (
    BrokerUnreachable,
    BucketUnusable,
    Client,
    ClientError,
    Deployment,
    InvalidDeployment,
    InvalidRequest,
    JobKey,
    S3Access,
    StoreUnreachable,
    TargetUnwritable,
    history,
)
from shared.client.broker_check import BrokerCheck
from shared.client.connection import Connection
from shared.messages.refs import ArtifactRef
from shared.runtime.settings import RuntimeSettings

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def client() -> Client:
    return Client(
        Deployment(RuntimeSettings(bootstrap_servers=NOWHERE), s3=S3Access(f"http://{NOWHERE}", "r", "k", "s"))
    )


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def with_properties(path: Path) -> Client:
    return Client(Deployment(RuntimeSettings(bootstrap_servers=NOWHERE, kafka_properties_file=path)))


def test_job_id_and_tenant_of_none_get_their_defaults(
    client: Client, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    spec = client.job_spec(portrait, speech, job_id=None, tenant=None)
    assert len(spec.job_id) == 32
    assert spec.key == JobKey("default", spec.job_id)
    manifest = tmp_path / "jobs.jsonl"
    manifest.write_text('{"portrait": "portrait.png", "speech": "speech.wav", "job_id": null}\n' * 2)
    first, second = client.batch(manifest)
    assert len({first.job_id, second.job_id, "None"}) == 3


def test_a_manifest_that_cannot_be_read_is_refused(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("portrait,speech\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidRequest, match="Permission denied"):
        client.batch(path)


def test_a_field_that_json_cannot_represent_is_refused(client: Client, portrait: Path, speech: Path) -> None:
    with pytest.raises(InvalidRequest, match="JSON"):
        client.job_spec(portrait, speech, owner=Path("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [JobKey("../x", "a"), JobKey("default", "a/b"), JobKey("", "a")])
def test_a_job_key_that_cannot_be_one_is_refused(client: Client, key: JobKey) -> None:
    for call in (client.job, client.past_events, client.terminal_event, client.cancel, client.purge):
        with pytest.raises(InvalidRequest):
            call(key)


def test_a_file_that_is_gone_is_refused_by_submit(client: Client, portrait: Path, speech: Path) -> None:
    spec = client.job_spec(portrait, speech)
    portrait.unlink()
    with pytest.raises(InvalidRequest, match="No such file"):
        client.submit(spec)


@pytest.mark.parametrize("call", [Client.position, lambda one: one.cancel("j"), Client.check])
def test_kafka_properties_that_cannot_be_used_are_named(tmp_path: Path, call: Callable[[Client], object]) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("no.such.property=1\n")
    client = with_properties(path)
    with pytest.raises(InvalidDeployment, match=r"no\.such\.property"):
        call(client)
    path.write_text("no value\n")
    with pytest.raises(InvalidDeployment, match="line 1"):
        call(client)
    path.unlink()
    with pytest.raises(InvalidDeployment, match="No such file"):
        call(client)


def test_an_endpoint_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, portrait: Path, speech: Path) -> None:
    """Also where a document is read: a set-up error is not the document's."""
    monkeypatch.setattr("shared.client.follow.STORE_CHECK_S", 0.0)
    client = Client(Deployment(RuntimeSettings(bootstrap_servers=NOWHERE), s3=S3Access("foo")))
    for call in (
        lambda: client.submit(client.job_spec(portrait, speech)),
        lambda: client.terminal_event("j"),
        lambda: client.purge("j"),
        lambda: history.stored_request(client.connection, JobKey("default", "j")),
        lambda: next(client.follow("j", {}, timeout_s=5)),
    ):
        with pytest.raises(InvalidDeployment, match="Invalid endpoint: foo"):
            call()


def test_check_tells_why_no_broker_answers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.broker_check.ANSWER_S", 0.5)
    with pytest.raises(BrokerUnreachable, match=f"no Kafka broker answers at {NOWHERE}: .+"):
        client.check()


def test_a_limit_below_1_is_refused(client: Client) -> None:
    for limit in (0, -1):
        with pytest.raises(InvalidRequest, match="limit"):
            client.jobs(limit=limit)


def test_a_closed_client_says_so(client: Client, portrait: Path, speech: Path) -> None:
    client.close()
    client.close()
    for call in (client.position, client.check, lambda: client.job_spec(portrait, speech), lambda: client.cancel("j")):
        with pytest.raises(RuntimeError, match="the client is closed"):
            call()


def test_targets_that_are_not_regular_files_are_refused(client: Client, fifo: Path) -> None:
    ref = ArtifactRef(bucket="lipstage", key="k", sha256="0" * 64, size=1)
    with pytest.raises(TargetUnwritable, match="not a regular file"):
        client.download(ref, fifo)
    assert fifo.is_fifo()
    link = fifo.with_name("link.mp4")
    link.symlink_to("elsewhere.mp4")
    with pytest.raises(TargetUnwritable, match="is a link to elsewhere"):
        client.download(ref, link)
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("error", "hint"),
    [(BrokerUnreachable("a"), START), (StoreUnreachable("a"), START), (BucketUnusable("a"), "LIPSTAGE_BUCKET")],
)
def test_only_the_first_check_of_a_command_advises_to_start_a_stack(
    monkeypatch: pytest.MonkeyPatch, client: Client, error: ClientError, hint: str
) -> None:
    later = failures.explained(type(error)("a"))
    assert later is not None
    assert later.hint is None or "LIPSTAGE_BUCKET" in later.hint

    def check(_: object) -> None:
        raise error

    is_broker = isinstance(error, BrokerUnreachable)
    monkeypatch.setattr(BrokerCheck, "result", check if is_broker else lambda _: None)
    monkeypatch.setattr(Connection, "check_store", check)
    monkeypatch.setattr(cli_connection, "deployment", lambda: client.connection.deployment)
    with pytest.raises(ClientError) as raised:
        cli_connection.connect()
    failure = failures.explained(raised.value)
    assert failure is not None
    assert failure.hint is not None
    assert hint in failure.hint


def test_an_upload_that_the_store_refuses_advises_to_check_the_input_buckets(
    monkeypatch: pytest.MonkeyPatch, client: Client, portrait: Path, speech: Path
) -> None:
    class Refusing:
        def upload_fileobj(self, *_: object, **__: object) -> None:
            answer = {"Error": {"Code": "NoSuchBucket"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise BotoError(answer, "PutObject")  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "s3", Refusing())
    monkeypatch.setattr(history, "stored_request", lambda *_: None)
    with pytest.raises(StoreUnreachable) as raised:
        client.submit(client.job_spec(portrait, speech))
    assert raised.value.hint == "check AWS_* and LIPSTAGE_INPUT_BUCKETS"
