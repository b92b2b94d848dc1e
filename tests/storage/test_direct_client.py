"""The quick requests of services: what they send themselves, and what they leave to boto3."""

import hashlib
import os
import re
import socket
import time
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
import urllib3
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from shared.storage import direct_client
from shared.storage.artifacts import ArtifactStore
from shared.storage.client import ATTEMPTS, S3Access, connect
from shared.storage.direct_client import MAX_BODY_BYTES, DirectClient, connect_directly
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.settings import StorageSettings
from tests.storage.faulty import FaultyStore, about


@pytest.fixture
def direct(faulty: FaultyStore, settings: StorageSettings) -> DirectClient:
    """A client whose requests pass the faulty proxy."""
    client = connect_directly(settings)
    assert isinstance(client, DirectClient)
    return client


@pytest.fixture
def by_boto3(direct: DirectClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that were left to boto3."""
    calls: list[str] = []
    send = direct._client._make_api_call  # type: ignore[attr-defined]
    monkeypatch.setattr(direct._client, "_make_api_call", lambda name, call: (calls.append(name), send(name, call))[1])
    return calls


def _key(name: str = "object") -> str:
    return f"jobs/default/{uuid4().hex}/{name}"


@pytest.mark.parametrize("name", ["plain", "für + $ & %41 ünd;=@:~.bin", "a.b..c"])
def test_single_objects_need_no_boto3(
    name: str, direct: DirectClient, by_boto3: list[str], settings: StorageSettings
) -> None:
    where = {"Bucket": settings.bucket, "Key": _key(name)}
    put = direct.put_object(**where, Body=b"data", ContentType="text/plain", Metadata={"sha256": "ab"}, Tagging="")
    head, got = direct.head_object(**where), direct.get_object(**where)
    assert got["Body"].read() == b"data"
    for answer in (head, got):
        assert (answer["ContentLength"], answer["ContentType"], answer["ETag"]) == (4, "text/plain", put["ETag"])
        assert answer["Metadata"] == {"sha256": "ab"}
        assert answer["LastModified"].tzinfo is not None
    assert by_boto3 == []
    assert direct._client.get_object(**where)["Body"].read() == b"data"  # boto3 finds it under the same key.


def test_missing_objects_and_lost_conditions_raise_as_boto3(
    direct: DirectClient, by_boto3: list[str], settings: StorageSettings
) -> None:
    where = {"Bucket": settings.bucket, "Key": _key()}
    with pytest.raises(ClientError) as missing:
        direct.get_object(**where)
    direct.put_object(**where, Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as lost:
        direct.put_object(**where, Body=b"2", IfNoneMatch="*")
    with pytest.raises(ClientError) as replaced:
        direct.get_object(**where, IfMatch='"0"')
    assert by_boto3 == []
    for error, status in ((missing, 404), (lost, 412), (replaced, 412)):
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert missing.value.response["Error"]["Code"] == "NoSuchKey"


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (403, "AccessDenied"), (404, "NoSuchBucket")])
def test_boto3_repeats_what_was_refused(
    status: int, code: str, direct: DirectClient, by_boto3: list[str], faulty: FaultyStore, settings: StorageSettings
) -> None:
    where = {"Bucket": settings.bucket, "Key": _key()}
    faulty.refuse(about(where["Key"]), status, code)
    with pytest.raises(ClientError, match=code):
        direct.put_object(**where, Body=b"x")
    with pytest.raises(ClientError, match=code):
        direct.get_object(**where)
    assert by_boto3 == ["PutObject", "GetObject"]


def test_boto3_makes_its_four_attempts_after_the_quick_one(
    direct: DirectClient, faulty: FaultyStore, settings: StorageSettings
) -> None:
    key = _key()
    faulty.refuse(about(key), 503, "SlowDown")
    with pytest.raises(ClientError):
        direct.get_object(Bucket=settings.bucket, Key=key)
    assert len([path for _, path in faulty.requests if key in path]) == 1 + ATTEMPTS


def test_body_is_sent_whole_by_boto3_after_a_refusal(
    direct: DirectClient,
    faulty: FaultyStore,
    settings: StorageSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    send = direct._pool.urlopen

    def fail_once(*_: object, **__: object) -> None:
        monkeypatch.setattr(direct._pool, "urlopen", send)
        raise ConnectionResetError

    monkeypatch.setattr(direct._pool, "urlopen", fail_once)
    store = ArtifactStore(direct, settings)  # type: ignore[arg-type]
    ref = store.put(path, _key())
    assert ref.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.get_bytes(ref, 100_000) == path.read_bytes()


def test_large_file_is_streamed_by_boto3(
    direct: DirectClient, by_boto3: list[str], settings: StorageSettings, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MAX_BODY_BYTES + 1))
    ref = ArtifactStore(direct, settings).put(path, _key())  # type: ignore[arg-type]
    assert by_boto3 == ["PutObject"]
    assert ref.size == MAX_BODY_BYTES + 1


def test_file_is_digested_once_for_reference_and_signature(
    direct: DirectClient, settings: StorageSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1000))
    send, sent = direct._pool.urlopen, list[str]()

    def note(*arguments: object, headers: dict[str, str], **options: object) -> object:
        sent.append(headers["x-amz-content-sha256"])
        return send(*arguments, headers=headers, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(direct, "_signs_payload", True)
    monkeypatch.setattr(direct._pool, "urlopen", note)
    monkeypatch.setattr(direct_client, "sha256", lambda _: pytest.fail("the body was digested again"))
    ref = ArtifactStore(direct, settings).put(path, _key())  # type: ignore[arg-type]
    assert sent == [ref.sha256] == [hashlib.sha256(path.read_bytes()).hexdigest()]


def test_document_is_signed_with_its_digest_off_loopback(
    direct: DirectClient, by_boto3: list[str], settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_signs_payload", True)
    where = {"Bucket": settings.bucket, "Key": _key()}
    direct.put_object(**where, Body=b"{}", IfNoneMatch="*")
    assert direct.get_object(**where)["Body"].read() == b"{}"
    assert by_boto3 == []


def test_connections_are_kept(direct: DirectClient, settings: StorageSettings) -> None:
    where = {"Bucket": settings.bucket, "Key": _key()}
    direct.put_object(**where, Body=b"x" * 5000)
    for _ in range(5):
        direct.get_object(**where)["Body"].read()
        direct.head_object(**where)
        with pytest.raises(ClientError):
            direct.get_object(Bucket=settings.bucket, Key=_key())
    assert direct._pool.num_connections == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"LIPSTAGE_S3_ADDRESSING": "virtual"},
        {"AWS_ENDPOINT_URL_S3": "https://s3.eu-central-1.amazonaws.com"},
        {"AWS_ENDPOINT_URL_S3": "http://store.example.com", "http_proxy": "http://proxy.example.com:3128"},
    ],
    ids=["virtual", "amazon", "proxy"],
)
def test_boto3_alone_where_it_knows_more(
    variables: dict[str, str], settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    for name, value in ({"AWS_ENDPOINT_URL_S3": "http://store.example.com"} | keys | variables).items():
        monkeypatch.setenv(name, value)
    assert not isinstance(connect_directly(StorageSettings()), DirectClient)


def test_https_is_verified_with_boto3s_certificates(settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://store.example.com")
    of_boto3 = connect_directly(settings)._pool.ca_certs  # type: ignore[attr-defined]
    assert of_boto3 == get_cert_path(True)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/own/authorities.pem")
    client = connect_directly(settings)
    assert isinstance(client, DirectClient)
    assert client._pool.ca_certs == "/own/authorities.pem"  # type: ignore[attr-defined]
    assert client._signs_payload


def test_large_body_may_take_longer_than_the_time_out_while_data_flows(
    settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block has the time-out, not the body."""
    body = bytes(16 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        got = bytearray()

        def read_slowly() -> None:
            peer, _ = server.accept()
            with peer:
                head, _, rest = peer.recv(1 << 16).partition(b"\r\n\r\n")
                size = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
                got.extend(rest)
                while len(got) < size:
                    if not (block := peer.recv(1 << 16)):
                        return  # The client has given up.
                    got.extend(block)
                    time.sleep(0.02)  # 5 s in all, of which the socket's buffers hide less than two.
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        reader = Thread(target=read_slowly, daemon=True)
        reader.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name, value in (("ENDPOINT_URL_S3", url), ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret")):
            monkeypatch.setenv(f"AWS_{name}", value)
        client = connect_directly(settings)
        assert isinstance(client, DirectClient)
        client._pool.timeout = urllib3.Timeout(connect=2.0, read=10)
        answer = client._send("PUT", {"Bucket": settings.bucket, "Key": "k/large"}, {}, body)
        reader.join(60)
    assert answer is not None and answer.status == 200, "the client gave up"
    assert bytes(got) == body


@pytest.mark.usefixtures("client")
def test_boto3s_client_is_made_when_it_is_needed(settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the local stack everything is known: a command that asks for one object loads no boto3."""
    made: list[object] = []

    def make(*arguments: object, **options: object) -> object:
        made.append(connect(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(direct_client, "connect", make)
    url, keys = (
        os.environ["AWS_ENDPOINT_URL_S3"],
        (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]),
    )
    client = connect_directly(settings, access=S3Access(url, "us-east-1", *keys))
    where = {"Bucket": settings.bucket, "Key": _key()}
    client.put_object(**where, Body=b"x" * 5000)  # type: ignore[arg-type]
    assert b"".join(client.get_object(**where)["Body"].iter_chunks(1000)) == b"x" * 5000  # type: ignore[arg-type]
    client.head_bucket(Bucket=settings.bucket)
    assert made == []
    with pytest.raises(ClientError, match="404"):
        client.head_bucket(Bucket="nowhere")
    assert client.list_objects_v2(Bucket=settings.bucket, Prefix=where["Key"])["KeyCount"] == 1
    assert len(made) == 1


def test_content_that_ends_early_is_no_object(settings: StorageSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

        thread = Thread(target=answer)
        thread.start()
        access = S3Access(f"http://127.0.0.1:{server.getsockname()[1]}", "us-east-1", "x", "y")
        body = connect_directly(settings, access=access).get_object(Bucket="b", Key="k")["Body"]
        with pytest.raises(StoreUnavailable, match="ProtocolError"), store_errors("reading"):
            body.read()
        thread.join()
