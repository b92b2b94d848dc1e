"""Inputs: only under the tenant's prefix, only up to the limit, only with the request's size and digest."""

import hashlib
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest

from shared.messages.codes import Code
from shared.messages.refs import InputRef
from shared.storage.client import connect
from shared.storage.errors import (
    InputDigestMismatch,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    StoreUnavailable,
)
from shared.storage.inputs import InputStore
from shared.storage.settings import StorageSettings
from tests.storage.faulty import FaultyStore

DATA = b"portrait" * 1000


@pytest.fixture
def ref(client) -> InputRef:
    key = f"default/{uuid4().hex}/portrait ü+%.png"
    client.put_object(Bucket="lipstage-inputs", Key=key, Body=DATA)
    return InputRef(key=key)


def _with(ref: InputRef, **changes: object) -> InputRef:
    return ref.model_copy(update=changes)


def test_download_returns_digest_and_size(inputs: InputStore, ref: InputRef, tmp_path: Path) -> None:
    exact = _with(ref, sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))
    digest = inputs.get(exact, tmp_path / "in", len(DATA), tenant="default")
    assert (digest.sha256, digest.size) == (exact.sha256, exact.size)
    assert (tmp_path / "in").read_bytes() == DATA


def test_missing_object_or_bucket_raises_input_not_found(inputs: InputStore, ref: InputRef, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound) as caught:
        inputs.get(_with(ref, key="default/nothing"), tmp_path / "in", 10, tenant="default")
    assert caught.value.code is Code.INPUT_NOT_FOUND


def test_folder_raises_input_not_found(inputs: InputStore, ref: InputRef) -> None:
    with pytest.raises(InputNotFound):
        inputs.head(_with(ref, key=ref.key.rpartition("/")[0]), "default")


def test_wrong_size_or_digest_raises_input_digest_mismatch(inputs: InputStore, ref: InputRef, tmp_path: Path) -> None:
    with pytest.raises(InputDigestMismatch):
        inputs.head(_with(ref, size=7), "default")
    with pytest.raises(InputDigestMismatch):
        inputs.get(_with(ref, sha256="0" * 64), tmp_path / "in", 10_000, tenant="default")
    assert not (tmp_path / "in").exists()


def test_announced_size_over_the_limit_is_not_downloaded(inputs: InputStore, ref: InputRef, tmp_path: Path) -> None:
    with pytest.raises(InputTooLarge):
        inputs.get(ref, tmp_path / "in", len(DATA) - 1, tenant="default")
    assert not (tmp_path / "in").exists()


def test_download_stops_at_the_limit(
    inputs: InputStore, ref: InputRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = inputs._client.get_object
    monkeypatch.setattr(inputs._client, "get_object", lambda **call: {**send(**call), "ContentLength": 10})
    with pytest.raises(InputTooLarge, match="more than"):
        inputs.get(ref, tmp_path / "in", 100, tenant="default")
    assert not (tmp_path / "in").exists()


def test_input_replaced_between_two_reads_raises_digest_mismatch(
    inputs: InputStore, ref: InputRef, client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = inputs._client.get_object

    def damaged(**call):
        answer = send(**call)
        answer["Body"].close()
        client.put_object(Bucket="lipstage-inputs", Key=ref.key, Body=b"swapped")
        monkeypatch.setattr(inputs._client, "get_object", send)
        return {**answer, "Body": BytesIO(b"damaged in transit")}

    monkeypatch.setattr(inputs._client, "get_object", damaged)
    with pytest.raises(InputDigestMismatch, match="replaced"):
        inputs.get(_with(ref, sha256=hashlib.sha256(DATA).hexdigest()), tmp_path / "in", 10_000, tenant="default")


def test_input_is_read_with_one_request(
    faulty: FaultyStore, connecting, settings, ref: InputRef, tmp_path: Path
) -> None:
    InputStore(connecting(settings), settings).get(ref, tmp_path / "in", 10_000, tenant="default")
    assert [method for method, path in faulty.requests if ref.key in path] == ["GET"]


@pytest.mark.parametrize(
    "key",
    [
        "other/portrait.png",
        "defaults/portrait.png",
        "default",
        "default/../other/portrait.png",
        "/default/portrait.png",
        "default//portrait.png",
        "default/./portrait.png",
        "default/a\\b",
        "default/a\nb",
        "https://example.com/a.png",
        "default/" + "x" * 1024,
    ],
)
def test_key_outside_the_tenant_prefix_is_forbidden(key: str, inputs: InputStore) -> None:
    # model_construct: the model refuses most of these already, and InputStore checks them again.
    with pytest.raises(InputForbidden):
        inputs.head(InputRef.model_construct(bucket="inputs", key=key, sha256=None, size=None), "default")


def test_artifact_bucket_is_no_input_alias(inputs: InputStore) -> None:
    with pytest.raises(InputForbidden, match="alias"):
        inputs.head(InputRef(bucket="artifacts", key="default/x"), "default")


def test_refused_credentials_raise_store_unavailable(
    ref: InputRef, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(StoreUnavailable):
        InputStore(connect(settings), settings).head(ref, "default")
