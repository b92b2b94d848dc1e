"""Conditional writes in a race, and documents that only the first writer creates."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError

from shared.messages.codes import Code
from shared.messages.events import Failed, RejectedEvent
from shared.messages.refs import ArtifactRef
from shared.messages.task import StageOutput
from shared.storage import keys, markers
from shared.storage.documents import DocumentStore
from shared.storage.errors import ArtifactAltered, StoreUnavailable


def test_exactly_one_of_many_racing_writers_wins(documents: DocumentStore) -> None:
    writers = 8
    for _ in range(5):
        key = keys.end("default", uuid4().hex)
        start = threading.Barrier(writers)

        def write(index: int, key: str = key, start: threading.Barrier = start) -> bool:
            start.wait()
            return documents.put_once(key, {"writer": index})

        with ThreadPoolExecutor(writers) as pool:
            wins = list(pool.map(write, range(writers)))
        assert wins.count(True) == 1
        assert documents.get(key) == {"writer": wins.index(True)}


def test_put_once_whose_answer_was_lost_counts_as_won(
    documents: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.end("default", uuid4().hex)
    send = documents._client.put_object

    def lose_the_answer(**call):
        send(**call)
        raise EndpointConnectionError(endpoint_url="gone")

    monkeypatch.setattr(documents._client, "put_object", lose_the_answer)
    with pytest.raises(StoreUnavailable):
        documents.put_once(key, {"attempt": "a"})
    monkeypatch.undo()
    assert documents.put_once(key, {"attempt": "a"}) is True
    assert documents.put_once(key, {"attempt": "b"}) is False


def test_get_of_a_missing_document_returns_none(documents: DocumentStore) -> None:
    assert documents.get(keys.end("default", uuid4().hex)) is None


def test_age_is_measured_by_the_clock_of_the_store(documents: DocumentStore) -> None:
    key = keys.end("default", uuid4().hex)
    documents.put(key, {"a": 1})
    document = documents.read(key)
    assert document is not None
    assert 0 <= document.age_s < 60


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b" " * ((1 << 20) + 1)], ids=["cut", "binary", "huge"])
def test_object_that_is_no_document_raises_artifact_altered(body: bytes, documents: DocumentStore, client) -> None:
    key = keys.end("default", uuid4().hex)
    client.put_object(Bucket="lipstage", Key=key, Body=body)
    with pytest.raises(ArtifactAltered):
        documents.get(key)


def test_first_completion_wins_and_is_returned_to_the_loser(documents: DocumentStore) -> None:
    job = uuid4().hex
    key = keys.within(keys.attempt_prefix("default", job, "face", "a1"), "image.npy")
    ref = ArtifactRef(key=key, sha256="1" * 64, size=5)
    first = StageOutput(attempt="a1", artifacts={"image": ref}, metadata={"width": 512})
    assert markers.read_completion(documents, "default", job, "face") is None
    assert markers.claim_completion(documents, "default", job, "face", first).won
    again = markers.claim_completion(documents, "default", job, "face", StageOutput(attempt="a2"))
    assert (again.won, again.winner) == (False, first)
    assert markers.read_completion(documents, "default", job, "face") == first


def test_first_terminal_event_wins(documents: DocumentStore) -> None:
    job = uuid4().hex
    base = {"job_id": job, "tenant": "default", "request_id": "r", "time_ms": 1, "stage": "face", "message": "no"}
    rejected = RejectedEvent(**base, code=Code.NO_FACE, field="portrait")
    failed = Failed(**base, code=Code.CANCELLED)
    assert markers.claim_end(documents, "default", job, rejected).won
    late = markers.claim_end(documents, "default", job, failed)
    assert (late.won, late.winner) == (False, rejected)
    assert markers.read_end(documents, "default", job) == rejected


def test_malformed_marker_raises_artifact_altered(documents: DocumentStore) -> None:
    job = uuid4().hex
    documents.put(keys.marker("default", job, "face"), {"nonsense": True})
    with pytest.raises(ArtifactAltered):
        markers.read_completion(documents, "default", job, "face")


def test_same_request_twice_is_one_claim(documents: DocumentStore) -> None:
    job = uuid4().hex
    record = markers.RequestRecord(request_id="r1", body_sha256="a" * 64)
    assert markers.claim_request(documents, "default", job, record).won
    assert markers.claim_request(documents, "default", job, record).won
    other = markers.claim_request(documents, "default", job, record.model_copy(update={"request_id": "r2"}))
    assert (other.won, other.winner.request_id) == (False, "r1")
