"""Event streams of a real gateway: what a watcher gets, from the first message to the end."""

import json
import signal
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import cimpl

from shared.messages.events import Failed
from shared.storage import markers
from tests.conftest import Infrastructure
from tests.gateway.watching import END_S, Gateway, Place, path_of, place, watched

BATCH = {"id": "b", "index": 0, "total": 2}
FAILED = {"type": "failed", "request_id": "r", "time_ms": 1, "stage": "audio", "code": "INTERNAL", "message": "m"}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def there(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(stack, tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(there: Place) -> Gateway:
    return there.gateway()


def test_a_watcher_gets_the_state_then_every_event_with_the_state_after_it(there: Place, gateway: Gateway) -> None:
    there.services.event("accepted", "life", engine="puppet", labels={"name": "anna"})
    with gateway.client() as client, watched(client, path_of("life")) as messages:
        first = next(messages)
        assert (first.type, first.status, first.data["event"]) == ("state", "accepted", None)
        assert first.data["render"]["labels"] == {"name": "anna"}
        there.services.event("started", "life", stage="audio")
        now_ms = int(time.time() * 1000)
        for _ in range(2):  # It may be delivered twice.
            there.services.event("progress", "life", stage="audio", percent=50.0, done=1, total=2, time_ms=now_ms)
        there.services.event("finished", "life", stage="audio", seconds=0.5)
        there.services.event("conflict", "life", message="taken")
        there.services.done("life")
        rest = list(messages)
        assert [m.type for m in rest] == ["started", "progress", "finished", "done"]
        assert [m.data["event"]["type"] for m in rest] == [m.type for m in rest]
        assert rest[1].data["render"]["stages"]["audio"]["percent"] == 50.0
        assert rest[2].data["render"]["stages"]["audio"]["state"] == "finished"
        assert rest[-1].status == "done" and rest[-1].data["render"]["terminal_event"]["video"]["size"] > 0
        assert len({first.id, *(m.id for m in rest)}) == 5

        again = client.get(path_of("life"), headers={"last-event-id": rest[-1].id})
        assert (again.status_code, again.content) == (204, b"")
        with watched(client, path_of("life")) as once_more:
            assert [(m.type, m.status) for m in once_more] == [("state", "done")]


@pytest.mark.parametrize("kind", ["rejected", "failed", "cancelled", "purged"])
def test_every_end_ends_the_stream(there: Place, gateway: Gateway, kind: str) -> None:
    job = f"end-{kind}"
    there.services.event("accepted", job, engine="puppet", labels={"name": "anna"})
    with gateway.client() as client, watched(client, path_of(job)) as messages:
        assert next(messages).type == "state"
        type_ = "failed" if kind == "cancelled" else kind
        fields = {"stage": "face", "code": "CANCELLED" if kind == "cancelled" else "NO_FACE", "message": "m"}
        there.services.event(type_, job, **({} if kind == "purged" else fields))
        (last,) = messages
        assert (last.type, last.status) == (type_, kind)
        if kind == "purged":
            assert last.data["render"]["labels"] == {}


def test_a_job_that_is_not_known_is_404(there: Place, gateway: Gateway) -> None:
    with gateway.client() as client:
        for path in (path_of("nobody"), "/v1/batches/nobody/events"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "JOB_NOT_FOUND")
            assert answer.headers["content-type"] == PROBLEM
        answer = client.get("/v1/renders/a%20b/events")
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")


def test_a_job_is_known_as_soon_as_it_was_submitted(gateway: Gateway) -> None:
    body = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}, "labels": {"name": "bea"}}
    with gateway.client() as client:
        submitted = client.post("/v1/renders", json=body)
        assert submitted.status_code == 202, submitted.text
        with watched(client, submitted.json()["links"]["events"]) as messages:
            first = next(messages)
    assert (first.status, first.data["render"]["labels"]) == ("queued", {"name": "bea"})


def test_records_that_are_no_events_change_nothing(there: Place, gateway: Gateway) -> None:
    there.services.event("accepted", "hostile", engine="puppet")
    topic = there.connection.topic("render.events")
    producer = cimpl.Producer({"bootstrap.servers": there.connection.settings.bootstrap_servers})
    with gateway.client() as client, watched(client, path_of("hostile")) as messages:
        assert next(messages).status == "accepted"
        for value in (
            None,
            b"",
            b"{",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"type": "done"}',
            b'{"type": "done", "job_id": 1}',
        ):
            producer.produce(topic, value, b"hostile")
        # An event of the job under another key, one of another tenant, and one of another job under its key.
        for key, job, tenant in ((b"other", "hostile", "default"), (b"hostile", "hostile", "acme"),
                                 (b"hostile", "other", "default")):  # fmt: skip
            producer.produce(topic, json.dumps(FAILED | {"job_id": job, "tenant": tenant}), key)
        producer.flush(10)
        there.services.event("started", "hostile", stage="face")
        there.services.done("hostile")
        assert [(m.type, m.status) for m in messages] == [("started", "running"), ("done", "done")]


def test_a_job_that_was_replayed_goes_on(there: Place, gateway: Gateway) -> None:
    dead = {"topic": "render.dlq", "partition": 0, "offset": 7}
    there.services.event("failed", "sent-again", stage="infer", code="CRASH_LOOP", message="m", dead_letter=dead)
    there.services.event("replayed", "sent-again", stage="infer", dead_letter=dead, replays=1)
    with gateway.client() as client, watched(client, path_of("sent-again")) as messages:
        assert next(messages).data["render"]["replays"] == 1
        there.services.event("failed", "sent-again", stage="infer", code="CRASH_LOOP", message="late", dead_letter=dead)
        there.services.event("started", "sent-again", stage="infer", replays=1)
        there.services.done("sent-again", replays=1)
        assert [m.type for m in messages] == ["started", "done"]


def test_a_batch_is_watched_until_all_its_jobs_have_ended(there: Place, gateway: Gateway) -> None:
    second = BATCH | {"index": 1}
    there.services.event("accepted", "b-0", engine="puppet", batch=BATCH)
    there.services.event("accepted", "b-1", engine="puppet", batch=second)
    with gateway.client() as client, watched(client, "/v1/batches/b/events") as messages:
        first = next(messages)
        assert first.data["batch"] == {
            "batch_id": "b",
            "total": 2,
            "known": 2,
            "ended": 0,
            "counts": {"accepted": 2},
            "renders": [{"job_id": "b-0", "status": "accepted"}, {"job_id": "b-1", "status": "accepted"}],
        }
        there.services.event("started", "b-0", stage="audio", batch=BATCH)
        there.services.done("b-0", batch=BATCH)
        there.services.event("rejected", "b-1", stage="face", code="NO_FACE", message="m", batch=second)
        rest = list(messages)
        changes = [(m.data["render"]["job_id"], m.type, m.data["batch"]["ended"]) for m in rest]
        assert changes == [("b-0", "started", 0), ("b-0", "done", 1), ("b-1", "rejected", 2)]
        assert client.get("/v1/batches/b/events", headers={"last-event-id": rest[-1].id}).status_code == 204
        with watched(client, "/v1/batches/b/events", first.id) as missed:
            assert [m.id for m in missed] == [m.id for m in rest]


def test_an_end_that_did_not_arrive_is_read_from_the_object_store(there: Place, gateway: Gateway) -> None:
    there.services.event("accepted", "silent", engine="puppet")
    with gateway.client() as client, watched(client, path_of("silent")) as messages:
        assert next(messages).status == "accepted"
        end = Failed.model_validate(FAILED | {"job_id": "silent", "tenant": "default"})
        markers.claim_end(there.connection.documents, "default", "silent", end)
        (last,) = messages
    assert (last.type, last.status) == ("failed", "failed")


def test_streams_end_at_once_with_the_gateway(there: Place) -> None:
    there.services.event("accepted", "ending", engine="puppet")
    ending = there.gateway()
    with ending.client() as client, watched(client, path_of("ending")) as messages:
        assert next(messages).status == "accepted"
        ending.process.send_signal(signal.SIGTERM)
        assert list(messages) == []
    # A second signal would end it out of order.
    assert ending.process.wait(END_S) == 0
    assert "Cancel" not in ending.log.read_text()
