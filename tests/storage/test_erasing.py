"""Deletion for good: of old versions and delete markers, where a bucket keeps them."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from shared.storage.erasing import Eraser
from shared.storage.errors import ArtifactRefused, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(params=[True, False], ids=["versioned", "plain"])
def bucket(client: "S3Client", request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    if request.param:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield name
    Eraser(client).erase(name, "")
    client.delete_bucket(Bucket=name)


def versions(client: "S3Client", bucket: str) -> list[str]:
    answer = client.list_object_versions(Bucket=bucket)
    return sorted(one["Key"] for one in (*answer.get("Versions", []), *answer.get("DeleteMarkers", [])))


def test_objects_go_with_every_version(client: "S3Client", bucket: str) -> None:
    for key in ("a/x", "a/x", "a/gone", "a/keep", "b/x"):
        client.put_object(Bucket=bucket, Key=key, Body=b"portrait")
    client.delete_object(Bucket=bucket, Key="a/gone")
    before = len(versions(client, bucket))
    erased = Eraser(client).erase(bucket, "a/", lambda key: key != "a/keep")
    assert erased.objects == {"a/x": 8}
    left = versions(client, bucket)
    assert left == ["a/keep", "b/x"]
    assert erased.versions == before - len(left) - 1


def test_old_versions_go_and_the_present_one_stays(client: "S3Client", bucket: str) -> None:
    for body in (b"owner", b"nobody"):
        client.put_object(Bucket=bucket, Key="a/request.json", Body=body)
    eraser = Eraser(client)
    eraser.erase_old_versions(bucket, "a/")
    assert versions(client, bucket) == ["a/request.json"]
    assert client.get_object(Bucket=bucket, Key="a/request.json")["Body"].read() == b"nobody"
    assert eraser.erase_key(bucket, "a/request").objects == {}, "another object begins so"
    assert versions(client, bucket) == ["a/request.json"]


def test_bucket_whose_versioning_may_not_be_read_is_named(
    client: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: object) -> None:
        answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, "GetBucketVersioning")  # type: ignore[arg-type]

    client.put_object(Bucket=bucket, Key="a/x", Body=b"")
    monkeypatch.setattr(client, "get_bucket_versioning", denied)
    eraser = Eraser(client)
    assert eraser.erase(bucket, "a/").objects == {"a/x": 0}
    assert eraser.unchecked == {bucket}


@pytest.mark.parametrize(("code", "error"), [("AccessDenied", ArtifactRefused), ("SlowDown", StoreUnavailable)])
def test_object_that_can_not_be_deleted_is_an_error(
    client: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]
) -> None:
    client.put_object(Bucket=bucket, Key="a/x", Body=b"")
    with monkeypatch.context() as patch:
        patch.setattr(client, "delete_objects", lambda **_: {"Errors": [{"Key": "a/x", "Code": code}]})
        with pytest.raises(error, match="1 of 1 were refused"):
            Eraser(client).erase(bucket, "a/")
