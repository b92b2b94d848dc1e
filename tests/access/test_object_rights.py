"""The real object store refuses each stage the objects of every other: 12 pairs; its inner ports refuse everybody."""

import itertools
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from shared.access.rights import READS
from shared.local import store_vacuum
from shared.local.ports import HOST
from shared.messages.pipeline import STAGES
from shared.storage import keys
from shared.storage.client import S3Access
from tests.access.conftest import Secure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET, INPUTS, OUTPUTS = "lipstage", "lipstage-inputs", "lipstage-videos"
JOB = ("acme", "job1")
JANITOR = "encode"
"""It deletes what attempts of erased jobs have stored since, of whatever stage."""
S3 = Callable[[str], "S3Client"]


def status(call: Callable[..., object], **arguments: object) -> int:
    """HTTP status of the answer."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])  # type: ignore[index]


def keys_of(stage: str) -> list[str]:
    """One object of each kind that belongs to a stage."""
    return [
        keys.attempt_prefix(*JOB, stage, "a1") + "x.npy",
        keys.marker(*JOB, stage),
        keys.cache_entry("acme", stage, "d1"),
        keys.cache_prefix("acme", stage, "d1", "a1") + "x.npy",
    ]


@pytest.mark.parametrize(("stage", "other"), list(itertools.permutations(STAGES, 2)))
def test_stage_is_refused_the_objects_of_another(s3: S3, stage: str, other: str) -> None:
    own, admin = s3(stage), s3("operator")
    for key in keys_of(other):
        admin.put_object(Bucket=BUCKET, Key=key, Body=b"original")
        assert status(own.put_object, Bucket=BUCKET, Key=key, Body=b"forged") == 403, key
        # A condition must not make a difference.
        assert status(own.put_object, Bucket=BUCKET, Key=key, Body=b"forged", IfNoneMatch="*") == 403, key
        assert status(own.create_multipart_upload, Bucket=BUCKET, Key=key) == 403, key
        reads = other in READS[stage] and "/job1/" + other + ".json" not in key
        cached = key.startswith("cache/")
        expected = 200 if reads and not (cached and other == "infer") else 403
        assert status(own.get_object, Bucket=BUCKET, Key=key) == expected, key
        assert admin.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"original"


@pytest.mark.parametrize(("stage", "other"), list(itertools.permutations(STAGES, 2)))
def test_stage_deletes_of_another_only_what_it_must(s3: S3, stage: str, other: str) -> None:
    own, admin = s3(stage), s3("operator")
    artifact, marker, entry, cached = keys_of(other)
    allowed = {entry} if other in READS[stage] and other in ("audio", "face") else set()
    if stage == JANITOR:
        allowed = {artifact, marker, entry, cached}
    for key in (artifact, marker, entry, cached):
        admin.put_object(Bucket=BUCKET, Key=key, Body=b"original")
        assert status(own.delete_object, Bucket=BUCKET, Key=key) == (204 if key in allowed else 403), key
        # Many at once are checked one by one.
        answer = own.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
        assert bool(answer.get("Errors")) == (key not in allowed), key


@pytest.mark.parametrize("stage", STAGES)
def test_stage_may_do_what_it_needs(s3: S3, stage: str) -> None:
    own = s3(stage)
    artifact, marker = keys_of(stage)[:2]
    s3("operator").delete_object(Bucket=BUCKET, Key=marker)
    tagging = {"Tagging": "lipstage-class=frames"} if stage == "infer" else {}
    own.put_object(Bucket=BUCKET, Key=artifact, Body=b"x", **tagging)  # type: ignore[arg-type]
    own.put_object(Bucket=BUCKET, Key=marker, Body=b"{}", IfNoneMatch="*")
    assert status(own.put_object, Bucket=BUCKET, Key=marker, Body=b"{}", IfNoneMatch="*") == 412
    assert own.get_object(Bucket=BUCKET, Key=artifact)["Body"].read() == b"x"
    assert status(own.get_object, Bucket=BUCKET, Key=keys.marker("acme", "none", stage)) == 404
    assert own.list_objects_v2(Bucket=BUCKET, Prefix=keys.stage_prefix(*JOB, stage))["KeyCount"] == 1
    own.delete_object(Bucket=BUCKET, Key=artifact)
    assert status(own.delete_object, Bucket=BUCKET, Key=marker) == (204 if stage == JANITOR else 403)
    own.put_object(Bucket=BUCKET, Key=keys.end(*JOB), Body=b"{}")
    request = keys.request(*JOB)
    assert status(own.put_object, Bucket=BUCKET, Key=request, Body=b"{}") == (200 if stage == "audio" else 403)
    for name in (INPUTS, OUTPUTS):
        written = status(own.put_object, Bucket=name, Key="acme/x.mp4", Body=b"x")
        assert written == (200 if (stage, name) == ("encode", OUTPUTS) else 403), name
    for name in (BUCKET, OUTPUTS):
        versions = 200 if stage == JANITOR else 403
        assert status(own.get_bucket_versioning, Bucket=name) == versions
        assert status(own.list_object_versions, Bucket=name, Prefix="jobs/acme/job1/") == versions
    assert status(own.create_bucket, Bucket="of-my-own") == 403
    assert status(own.get_bucket_lifecycle_configuration, Bucket=BUCKET) == 403


def test_encode_copies_its_video_and_no_other_object(s3: S3) -> None:
    encode, admin = s3("encode"), s3("operator")
    video, secret = keys_of("encode")[0], keys.request(*JOB)
    private = "acme/portrait.jpg"
    admin.put_object(Bucket=BUCKET, Key=video, Body=b"video")
    admin.put_object(Bucket=BUCKET, Key=secret, Body=b"{}")
    admin.put_object(Bucket=INPUTS, Key=private, Body=b"portrait")
    copy = {"Bucket": OUTPUTS, "Key": "acme/films/job1/video.mp4"}
    assert status(encode.copy_object, **copy, CopySource={"Bucket": BUCKET, "Key": video}) == 200
    assert status(encode.copy_object, **copy, CopySource={"Bucket": INPUTS, "Key": private}) == 403


@pytest.mark.parametrize("service", ["relay", "gateway", "client"])
def test_service_that_renders_nothing_writes_no_artifact(s3: S3, service: str) -> None:
    for key in (key for stage in STAGES for key in keys_of(stage)):
        assert status(s3(service).put_object, Bucket=BUCKET, Key=key, Body=b"forged") == 403, key


def test_bytes_of_deleted_objects_leave_the_disk(secure: Secure, s3: S3) -> None:
    operator, canary = s3("operator"), os.urandom(5000)
    operator.put_object(Bucket=BUCKET, Key="jobs/acme/canary", Body=canary)
    operator.delete_object(Bucket=BUCKET, Key="jobs/acme/canary")
    assert holding(secure, canary), "SeaweedFS only marks it"
    assert store_vacuum.vacuum(secure.stack)
    assert holding(secure, canary) == []
    assert status(operator.head_object, Bucket=BUCKET, Key=store_vacuum.KEY) == 404


def holding(secure: Secure, content: bytes) -> list[str]:
    """The object store's files that hold this content."""
    return [file.name for file in (secure.stack.state_dir / "store").rglob("*.dat") if content in file.read_bytes()]


def test_stranger_is_refused(secure: Secure) -> None:
    unknown = S3Access(secure.stack.s3_endpoint_url, "us-east-1", "LIPUNKNOWN", "wrong")
    client = unknown.session().client("s3", endpoint_url=unknown.endpoint_url, region_name="us-east-1")
    assert status(client.list_objects_v2, Bucket=BUCKET) == 403
    with pytest.raises(urllib.error.HTTPError) as anonymous:
        urllib.request.urlopen(f"{secure.stack.s3_endpoint_url}/{BUCKET}", timeout=60)
    assert anonymous.value.code == 403


@pytest.mark.parametrize(
    ("listener", "method", "path"),
    [
        ("filer", "GET", "/buckets/lipstage/"),
        ("filer", "POST", "/buckets/lipstage/forged.json"),
        ("filer", "DELETE", "/buckets/lipstage/?recursive=true"),
        ("volume", "GET", "/1,0100000000"),
        ("volume", "POST", "/1,0100000000"),
        ("master", "GET", "/col/delete?collection=lipstage"),
        ("master", "GET", "/dir/assign"),
        ("admin", "GET", "/api/users"),
    ],
)
def test_inner_port_refuses_http(secure: Secure, listener: str, method: str, path: str) -> None:
    url = f"http://{HOST}:{secure.stack.ports[listener]}{path}"
    request = urllib.request.Request(url, method=method, data=b"x" if method == "POST" else None)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    # 404: the port has no such requests any more.
    assert refused.value.code in (401, 403, 404)


@pytest.mark.parametrize("listener", ["master", "volume", "filer", "s3"])
def test_inner_grpc_port_asks_for_a_certificate(secure: Secure, listener: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    address = (HOST, secure.stack.ports[f"{listener}.grpc"])
    plain = socket.create_connection(address, 5)
    # In TLS 1.3 the server's refusal of a client without a certificate comes with the first read.
    with plain, pytest.raises(OSError), context.wrap_socket(plain) as session:
        session.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        if not session.recv(64):
            raise OSError("closed")
