"""Artifacts in the real object store: a read returns the written bytes, or raises a clear error."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import pytest

from shared.messages.refs import ArtifactRef
from shared.storage import keys
from shared.storage.artifacts import FRAMES_TAG, MULTIPART_BYTES, ArtifactStore
from shared.storage.bucket import ensure
from shared.storage.client import connect, is_plain_loopback
from shared.storage.errors import ArtifactAltered, ArtifactMissing, OutputRefused, StoreUnavailable
from shared.storage.settings import StorageSettings


def _key(name: str = "a.bin") -> str:
    return keys.within(keys.attempt_prefix("default", uuid4().hex, "infer", "attempt-1"), name)


def test_round_trip_keeps_bytes_and_digest(artifacts: ArtifactStore, file: Path, tmp_path: Path) -> None:
    ref = artifacts.put(file, _key())
    assert (ref.bucket, ref.size) == ("artifacts", 300_000)
    assert ref.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    artifacts.get(ref, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_empty_file_round_trip(artifacts: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    ref = artifacts.put(tmp_path / "empty", _key())
    artifacts.get(ref, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_large_file_is_uploaded_in_parts_and_digested_whole(artifacts: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    block = os.urandom(1 << 20)
    with path.open("wb") as out:
        for index in range((MULTIPART_BYTES >> 20) + 3):
            out.write(index.to_bytes(4, "big") + block[4:])
        out.write(b"tail")
    ref = artifacts.put(path, _key(), tag=FRAMES_TAG)
    with path.open("rb") as source:
        assert ref.sha256 == hashlib.file_digest(source, "sha256").hexdigest()
    head = artifacts.client.head_object(Bucket="lipstage", Key=ref.key)
    assert head["ETag"].strip('"').endswith("-5"), "five parts of at most 16 MiB"
    artifacts.get(ref, tmp_path / "back")
    artifacts.delete([ref.key])


def test_frames_carry_the_tag_of_the_lifecycle_rule(artifacts: ArtifactStore, file: Path) -> None:
    tagged, plain = artifacts.put(file, _key(), tag=FRAMES_TAG), artifacts.put(file, _key())
    tags = {
        ref.key: artifacts.client.get_object_tagging(Bucket="lipstage", Key=ref.key)["TagSet"]
        for ref in (tagged, plain)
    }
    assert tags == {tagged.key: [{"Key": "lipstage-class", "Value": "frames"}], plain.key: []}


def test_altered_byte_is_detected_and_leaves_no_file(artifacts: ArtifactStore, file: Path, tmp_path: Path) -> None:
    ref = artifacts.put(file, _key())
    data = bytearray(file.read_bytes())
    data[150_000] ^= 1
    artifacts.client.put_object(Bucket="lipstage", Key=ref.key, Body=bytes(data))
    with pytest.raises(ArtifactAltered):
        artifacts.get(ref, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(ArtifactAltered):
        artifacts.get_bytes(ref, 1 << 20)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
def test_truncated_or_grown_object_is_altered(change, artifacts: ArtifactStore, file: Path, tmp_path: Path) -> None:
    ref = artifacts.put(file, _key())
    artifacts.client.put_object(Bucket="lipstage", Key=ref.key, Body=change(file.read_bytes()))
    with pytest.raises(ArtifactAltered):
        artifacts.get(ref, tmp_path / "back")
    assert not artifacts.exists(ref)


def test_missing_object_raises_artifact_missing(artifacts: ArtifactStore, tmp_path: Path) -> None:
    ref = ArtifactRef(key=_key(), sha256="0" * 64, size=1)
    with pytest.raises(ArtifactMissing):
        artifacts.get(ref, tmp_path / "back")
    assert not artifacts.exists(ref)


def test_get_bytes_checks_the_limit_before_it_reads(artifacts: ArtifactStore, file: Path) -> None:
    ref = artifacts.put(file, _key())
    assert artifacts.get_bytes(ref, 300_000) == file.read_bytes()
    with pytest.raises(ArtifactAltered):
        artifacts.get_bytes(ref, 299_999)


def test_copy_to_an_output_bucket_succeeds_or_raises_output_refused(
    client, settings: StorageSettings, file: Path, tmp_path: Path
) -> None:
    outputs = settings.model_copy(update={"output_buckets": {"films": "films-bucket", "none": "No_Such_Bucket"}})
    ensure(client, outputs.model_copy(update={"output_buckets": {"films": "films-bucket"}}))
    store = ArtifactStore(client, outputs)
    ref = store.put(file, _key("video.mp4"))
    copy = store.copy(ref, "films", "default/a/video.mp4")
    assert (copy.bucket, copy.key, copy.sha256) == ("films", "default/a/video.mp4", ref.sha256)
    store.get(copy, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    with pytest.raises(OutputRefused, match="none"):
        store.copy(ref, "none", "default/a/video.mp4")
    with pytest.raises(ArtifactMissing):
        store.copy(ref.model_copy(update={"key": _key("gone.mp4")}), "films", "default/a/video.mp4")


def test_purge_deletes_one_job_only(artifacts: ArtifactStore) -> None:
    job, other = uuid4().hex, uuid4().hex
    for index in range(1003):
        artifacts.put_bytes(b"x", keys.within(keys.attempt_prefix("default", job, "infer", "a1"), f"{index:05d}"))
    artifacts.put_bytes(b"x", keys.within(keys.attempt_prefix("default", other, "infer", "a1"), "kept"))
    assert artifacts.delete_prefix(keys.job_prefix("default", job)) == 1003
    assert list(artifacts.list_prefix(keys.job_prefix("default", job))) == []
    assert len(list(artifacts.list_prefix(keys.job_prefix("default", other)))) == 1


@pytest.mark.parametrize("prefix", ["", "jobs/", "jobs/default/", "cache/default/", "jobs/default/job"])
def test_short_prefix_is_never_deleted(prefix: str, artifacts: ArtifactStore) -> None:
    with pytest.raises(ValueError, match="prefix"):
        artifacts.delete_prefix(prefix)


def test_file_that_grows_during_upload_raises_file_changed(
    artifacts: ArtifactStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = artifacts.client.put_object

    def grow_then_send(**call):
        with file.open("ab") as out:
            out.write(b"more")
        return send(**call)

    monkeypatch.setattr(artifacts.client, "put_object", grow_then_send)
    with pytest.raises(OSError, match="changed"):
        artifacts.put(file, _key())


def test_unreachable_endpoint_raises_store_unavailable(
    settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, file: Path, unused_endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", unused_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    with pytest.raises(StoreUnavailable, match="EndpointConnectionError"):
        ArtifactStore(connect(settings), settings).put(file, _key())


def test_wrong_credentials_raise_store_unavailable_not_missing(
    artifacts: ArtifactStore, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    stranger = ArtifactStore(connect(settings), settings)
    with pytest.raises(StoreUnavailable):
        stranger.get(ArtifactRef(key=_key(), sha256="0" * 64, size=1), tmp_path / "back")


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://127.0.0.1:8333", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("https://127.0.0.1:8333", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_payload_signing_is_disabled_only_on_plain_loopback(url: str, plain: bool) -> None:
    assert is_plain_loopback(url) is plain


def test_client_uses_the_settings(client, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.meta.config.s3["payload_signing_enabled"] is False
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://storage.example.com")
    remote = connect(settings)
    assert "payload_signing_enabled" not in remote.meta.config.s3
    assert remote.meta.config.request_checksum_calculation == "when_required"


@pytest.mark.parametrize("operation", ["list", "delete"])
def test_output_alias_that_this_service_does_not_know_is_refused(artifacts: ArtifactStore, operation: str) -> None:
    """A request may name one that only other stages have: what cleans up must be able to go on."""
    with pytest.raises(OutputRefused, match="films"):
        if operation == "list":
            list(artifacts.list_prefix("default/", bucket="films"))
        else:
            artifacts.delete(["default/x"], bucket="films")
