"""An answer about one input is an InputError, which ends its job; an answer about the object store is an outage."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import pytest

from shared.messages.refs import InputRef
from shared.storage.errors import InputDigestMismatch, InputForbidden, InputNotFound, StorageError, StoreUnavailable
from shared.storage.inputs import InputStore
from shared.storage.settings import StorageSettings
from shared.storage.streams import Digest
from tests.storage.faulty import FaultyStore, about, flip

DATA = b"speech" * 5000
FAST = 3


@pytest.fixture
def ref(client) -> InputRef:
    key = f"default/{uuid4().hex}/speech.wav"
    client.put_object(Bucket="lipstage-inputs", Key=key, Body=DATA)
    return InputRef(key=key)


@pytest.fixture
def through(faulty: FaultyStore, connecting, settings: StorageSettings) -> InputStore:
    """The inputs of a service that connects through the proxy."""
    return InputStore(connecting(settings), settings)


def _get(store: InputStore, ref: InputRef, path: Path) -> Digest:
    return store.get(ref, path, 1 << 20, tenant="default")


def test_input_encrypted_with_a_customer_key_is_forbidden_with_that_reason(
    client, inputs: InputStore, tmp_path: Path
) -> None:
    key = f"default/{uuid4().hex}/speech.wav"
    client.put_object(
        Bucket="lipstage-inputs", Key=key, Body=DATA, SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32)
    )
    ref = InputRef(key=key)
    for ask in (lambda: inputs.head(ref, "default"), lambda: _get(inputs, ref, tmp_path / "in")):
        with pytest.raises(InputForbidden, match="encrypted with a customer's key"):
            ask()
    assert not (tmp_path / "in").exists()


OWN: list[tuple[int, str, str, type[StorageError], str]] = [
    (400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.", InputForbidden, "SSE-C"),
    (403, "InvalidObjectState", "", InputForbidden, "archived"),
    (400, "KMS.DisabledException", "", InputForbidden, "encryption key that is disabled"),
    (405, "MethodNotAllowed", "", InputForbidden, "was deleted"),
    (403, "AccessDenied", "", InputForbidden, "is not accessible"),
    (403, "NobodyKnowsIt", "", InputForbidden, "403 NobodyKnowsIt"),
    (404, "NoSuchKey", "", InputNotFound, "does not exist"),
    (404, "NoSuchBucket", "", InputNotFound, "inputs"),
    (301, "PermanentRedirect", "", InputNotFound, "bucket of inputs"),
]
OF_THE_STORE = [
    (403, "SignatureDoesNotMatch"),
    (403, "InvalidAccessKeyId"),
    (400, "ExpiredToken"),
    (403, "RequestTimeTooSkewed"),
    (503, "SlowDown"),
    (500, "InternalError"),
]


@pytest.mark.parametrize(("status", "code", "message", "error", "words"), OWN, ids=[code for _, code, *_ in OWN])
def test_answer_about_one_object_is_an_input_error(
    through: InputStore,
    faulty: FaultyStore,
    ref: InputRef,
    tmp_path: Path,
    status: int,
    code: str,
    message: str,
    error: type[StorageError],
    words: str,
) -> None:
    faulty.refuse(about(ref.key), status, code, message)
    with pytest.raises(error, match=words):
        _get(through, ref, tmp_path / "in")
    with pytest.raises(error, match=words):
        through.head(ref, "default")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize(("status", "code"), OF_THE_STORE, ids=[code for _, code in OF_THE_STORE])
def test_answer_about_the_store_is_an_outage(
    through: InputStore,
    faulty: FaultyStore,
    ref: InputRef,
    tmp_path: Path,
    status: int,
    code: str,
) -> None:
    faulty.refuse(about(ref.key), status, code)
    with pytest.raises(StoreUnavailable):
        _get(through, ref, tmp_path / "in")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("status", [400, 403, 405])
def test_input_refused_by_head_alone_is_read(
    through: InputStore, faulty: FaultyStore, ref: InputRef, tmp_path: Path, status: int
) -> None:
    faulty.refuse(about(ref.key, "HEAD"), status, "")
    assert through.head(ref, "default").size == len(DATA)
    assert _get(through, ref, tmp_path / "in").size == len(DATA)
    assert (tmp_path / "in").read_bytes() == DATA


def test_truncated_body_is_an_outage(through: InputStore, faulty: FaultyStore, ref: InputRef, tmp_path: Path) -> None:
    faulty.damage(about(ref.key, "GET"), lambda _, body: body[: len(body) // 2])
    with pytest.raises(StoreUnavailable):
        _get(through, ref, tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_input_damaged_in_transit_is_read_again(
    through: InputStore, faulty: FaultyStore, ref: InputRef, tmp_path: Path
) -> None:
    faulty.damage(about(ref.key, "GET"), lambda n, body: flip(body) if n < FAST else body)
    known = ref.model_copy(update={"sha256": hashlib.sha256(DATA).hexdigest()})
    assert _get(through, known, tmp_path / "in").sha256 == known.sha256
    assert (tmp_path / "in").read_bytes() == DATA


def test_input_that_always_differs_is_a_digest_mismatch(
    through: InputStore, faulty: FaultyStore, ref: InputRef, tmp_path: Path
) -> None:
    with pytest.raises(InputDigestMismatch):
        _get(through, ref.model_copy(update={"sha256": "0" * 64}), tmp_path / "in")
    assert not (tmp_path / "in").exists()
    assert 1 < sum(method == "GET" and ref.key in path for method, path in faulty.requests) < 20


def test_refusal_reason_names_no_bucket(through: InputStore, faulty: FaultyStore, ref: InputRef) -> None:
    faulty.refuse(about(ref.key), 403, "AccessDenied", "arn:aws:s3:::lipstage-inputs/x of user/somebody")
    with pytest.raises(InputForbidden) as caught:
        through.head(ref, "default")
    assert "lipstage-inputs" not in str(caught.value)
    assert "somebody" not in str(caught.value)
