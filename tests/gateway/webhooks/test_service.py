"""Endpoints are told of the ends of renders, on the real broker, whatever endpoints, services and records do."""

import json
import signal
import threading
import uuid
from typing import Any

from confluent_kafka import cimpl
from standardwebhooks import Webhook

from shared.client import DeadLetterFilter, ReplayOptions
from shared.client.dead_letters.rewriting import Rewriter
from shared.client.job_key import JobKey
from shared.messages.codes import Code
from shared.messages.pipeline import WEBHOOKS
from shared.messages.topics import EVENTS
from shared.messages.topics import WEBHOOKS as NOTICES
from stages.gateway.webhooks.endpoints import Endpoint
from tests.gateway.webhooks.conftest import LIMIT_S, MAX_ATTEMPTS, Deployed
from tests.gateway.webhooks.receiver import Receiver, Request, receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
FAILED: dict[str, Any] = {"stage": "face", "code": "INTERNAL", "message": "no"}


def job() -> str:
    return uuid.uuid4().hex


def test_the_end_of_a_render_is_told_to_the_endpoints_of_its_tenant(
    deployed: Deployed, receiver: Receiver, tenant: str
) -> None:
    endpoint = deployed.register(receiver.url + "?key=1", tenant=tenant)
    with receiving() as other, receiving() as only_done:
        deployed.register(other.url, tenant=f"{tenant}2")
        deployed.register(only_done.url, "done", tenant=tenant)
        first, second = job(), job()
        deployed.services.event("started", first, tenant=tenant, stage="audio")
        deployed.services.event("rejected", first, tenant=tenant, stage="face", code="NO_FACE", message="m",
                                labels={"who": "anna"})  # fmt: skip
        (request,) = receiver.wait(1)
        body = Webhook(deployed.secret(tenant, endpoint)).verify(request.body, request.headers)
        assert request.path == "/hook?key=1"
        assert body["type"] == "render.rejected"
        assert (body["data"]["job_id"], body["data"]["status"]) == (first, "rejected")
        assert body["data"]["labels"] == {"who": "anna"}
        assert body["data"]["terminal_event"]["code"] == "NO_FACE"
        # In the trace of the render, of which the event's record tells.
        producer = cimpl.Producer({"bootstrap.servers": deployed.connection.settings.bootstrap_servers})
        event = {"type": "failed", "job_id": second, "tenant": tenant, "request_id": "r", "time_ms": 1 << 42, **FAILED}
        producer.produce(deployed.connection.topic(EVENTS), json.dumps(event), second.encode(),
                         headers=[("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")])  # fmt: skip
        assert producer.flush(60) == 0
        (_, request) = receiver.wait(2)
        assert request.headers["traceparent"].split("-")[1] == TRACE
        assert "b7ad6b7169203331" not in request.headers["traceparent"], "the span of the POST is the parent"
        assert (other.requests, only_done.requests) == ([], [])
        deployed.services.done(job(), tenant=tenant)
        (request,) = only_done.wait(1)
        assert json.loads(request.body)["type"] == "render.done"
    log = deployed.logs["webhooks"].read_text()
    assert "key=1" not in log and deployed.secret(tenant, endpoint) not in log


def test_an_endpoint_that_fails_is_asked_again_and_after_the_last_attempt_by_a_replay(
    deployed: Deployed, receiver: Receiver, tenant: str
) -> None:
    works_late = deployed.register(receiver.url, tenant=tenant)
    receiver.answer = lambda _request, number: 503 if number < MAX_ATTEMPTS else 200
    with receiving() as other:
        works_later = deployed.register(other.url, tenant=tenant)
        repaired = threading.Event()
        other.answer = lambda _request, _number: 200 if repaired.is_set() else 500
        ended = job()
        deployed.services.done(ended, tenant=tenant)
        _same_message(deployed, tenant, works_late, receiver.wait(MAX_ATTEMPTS))
        other.wait(MAX_ATTEMPTS)
        deployed.wait_outcome("dead_letter", works_later)
        with deployed.client() as client:
            chosen = DeadLetterFilter(jobs=(ended,), tenants=(tenant,), stages=(WEBHOOKS,))
            (listed,) = client.dead_letters(chosen)
            dead, topic = listed.dead, deployed.connection.topic(NOTICES)
            assert (dead.stage, dead.code, dead.topic) == (WEBHOOKS, Code.WEBHOOK_FAILED, topic)
            assert "it answered 500" in dead.errors["message"]
            # The endpoint works again, and is told once more: of a job that is done, and stays so.
            repaired.set()
            replay = client.replay(ReplayOptions(filter=chosen, rewriter=Rewriter(client.settings.topic_prefix)))
            plan = replay.plan()
            assert (plan.to_send, plan.targets) == (1, {topic: 1}), plan.as_json()
            assert replay.run(plan.work).sent == 1
            _same_message(deployed, tenant, works_later, other.wait(MAX_ATTEMPTS + 1))
            deployed.wait_outcome("delivered", works_later)
            state = client.job(JobKey(tenant, ended))
            assert (state.status, state.replays) == ("done", 0)


def _same_message(deployed: Deployed, tenant: str, endpoint: Endpoint, requests: list[Request]) -> None:
    """One message at every attempt, each signed with its own time."""
    assert len({(request.headers["webhook-id"], request.body) for request in requests}) == 1
    for request in requests:
        Webhook(deployed.secret(tenant, endpoint)).verify(request.body, request.headers)
    traces = {request.headers["traceparent"].split("-")[1] for request in requests[:MAX_ATTEMPTS]}
    assert len(traces) == 1, "the attempts are one trace"


def test_an_endpoint_that_answers_410_is_disabled(deployed: Deployed, receiver: Receiver, tenant: str) -> None:
    gone = deployed.register(receiver.url, tenant=tenant)
    receiver.answer = lambda _request, _number: 410
    deployed.services.event("failed", job(), tenant=tenant, **FAILED)
    deployed.wait_outcome("gone", gone)
    stored = deployed.endpoints.find(tenant, gone.id)
    assert stored is not None and stored.disabled is not None and "410" in stored.disabled.reason
    with receiving() as other:
        deployed.register(other.url, tenant=tenant)
        deployed.services.event("failed", job(), tenant=tenant, **FAILED)
        other.wait(1)
    assert len(receiver.requests) == 1


def test_what_is_no_notice_is_a_dead_letter_and_holds_nothing_back(
    deployed: Deployed, receiver: Receiver, tenant: str
) -> None:
    deployed.register(receiver.url, tenant=tenant)
    name = job()
    producer = cimpl.Producer({"bootstrap.servers": deployed.connection.settings.bootstrap_servers})
    for topic, value in ((NOTICES, b"\xff{"), (NOTICES, None), (EVENTS, b'{"type":"done"}')):
        producer.produce(deployed.connection.topic(topic), value, name.encode())
    assert producer.flush(60) == 0
    deployed.services.event("failed", job(), tenant=tenant, **FAILED)
    receiver.wait(1)
    with deployed.client() as client:
        found = deployed.wait(
            lambda: (two := list(client.dead_letters(DeadLetterFilter(codes=("POISON",)))))[1:] and two
        )
    assert {one.dead.stage for one in found} == {WEBHOOKS}


def test_a_service_killed_before_its_commit_tells_the_endpoint_again_under_the_same_id(
    deployed: Deployed, receiver: Receiver, tenant: str
) -> None:
    deployed.register(receiver.url, tenant=tenant)
    killed = threading.Event()

    def answer(_request: Request, number: int) -> int:
        if number == 1:
            assert killed.wait(LIMIT_S)
        return 204

    receiver.answer = answer
    deployed.services.event("failed", job(), tenant=tenant, **FAILED)
    receiver.wait(1)
    deployed.stop("webhooks", signal.SIGKILL)
    killed.set()
    deployed.start_webhooks()
    first, second = receiver.wait(2)[:2]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
