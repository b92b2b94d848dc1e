"""``/v1/webhooks`` as its callers see it."""

from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from shared.client import Client
from shared.client.connection import Connection
from stages.gateway.webhooks.endpoints import ALL_EVENTS, Endpoint, Endpoints
from tests.gateway.app_harness import harness
from tests.gateway.conftest import Gateway, problem
from tests.gateway.webhooks.receiver import Receiver


def test_an_endpoint_is_registered_listed_tested_and_deleted(acme: httpx.Client, receiver: Receiver) -> None:
    answer = acme.post("/v1/webhooks", json={"url": receiver.url, "events": ["done", "done"], "description": "mine"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made.pop("secret")
    assert (made["url"], made["events"], made["description"], made["disabled"]) == (
        receiver.url,
        ["done"],
        "mine",
        None,
    )
    assert made in acme.get("/v1/webhooks").json()["webhooks"]
    path = f"/v1/webhooks/{made['id']}"
    assert acme.get(path).json() == made, "no later answer has the secret"
    assert acme.post(f"{path}/test").json() == {"delivered": True, "status": 204, "error": None}
    (request,) = receiver.requests
    body = Webhook(secret).verify(request.body, request.headers)
    assert (body["type"], body["data"]) == ("webhook.test", {"endpoint": made["id"], "tenant": "acme"})
    receiver.answer = lambda _request, _number: 500
    assert acme.post(f"{path}/test").json() == {"delivered": False, "status": 500, "error": None}
    assert acme.delete(path).status_code == 204
    for method, at in (("GET", path), ("DELETE", path), ("POST", f"{path}/test")):
        problem(acme.request(method, at), 404, "WEBHOOK_NOT_FOUND")


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"url": "https://10.0.0.1/"}, "WEBHOOK_URL_REFUSED", "url"),
        ({"url": "https://user@8.8.8.8/"}, "WEBHOOK_URL_REFUSED", "url"),
        ({"url": "https://nowhere.invalid/"}, "WEBHOOK_URL_REFUSED", "url"),
        ({"url": 7}, "INVALID_REQUEST", "url"),
        ({}, "INVALID_REQUEST", "url"),
        ({"url": "https://8.8.8.8/", "events": ["progress"]}, "INVALID_REQUEST", "events.0"),
        ({"url": "https://8.8.8.8/", "events": []}, "INVALID_REQUEST", "events"),
        ({"url": "https://8.8.8.8/", "secret": "mine"}, "INVALID_REQUEST", "secret"),
    ],
)
def test_what_is_no_endpoint_is_refused_by_its_field(acme: httpx.Client, given: object, code: str, field: str) -> None:
    assert problem(acme.post("/v1/webhooks", json=given), 422, code)["field"] == field


def test_a_tenant_has_so_many_endpoints_and_no_more(gateway: Gateway, receiver: Receiver) -> None:
    with gateway.client("beta") as beta:
        made = []
        while (answer := beta.post("/v1/webhooks", json={"url": receiver.url})).status_code == 201:
            made.append(answer.json()["id"])
            assert len(made) <= 3
        assert problem(answer, 409, "TOO_MANY_WEBHOOKS")["allowed"] == "at most 3"
        assert beta.delete(f"/v1/webhooks/{made[0]}").status_code == 204
        assert beta.post("/v1/webhooks", json={"url": receiver.url}).status_code == 201
        for one in beta.get("/v1/webhooks").json()["webhooks"]:
            if one["url"] == receiver.url:
                beta.delete(f"/v1/webhooks/{one['id']}")


def test_an_erasure_of_the_tenant_deletes_its_endpoints(quiet: Connection, tenant: str) -> None:
    endpoints = Endpoints(quiet.documents)
    endpoints.add(tenant, Endpoint.new("https://8.8.8.8/", ALL_EVENTS, ""), 1)
    with Client(quiet.deployment) as client:
        assert tenant in client.tenants()
        plan = client.purge_plan(tenant=tenant)
        assert plan.webhooks and not plan.is_empty
        deleted, _ = client.purge_rest(plan)
        assert deleted["webhooks"].objects == 1
        assert endpoints.of(tenant) == ()


def test_without_a_key_of_the_deployment_there_are_no_webhooks(tmp_path: Path) -> None:
    app = harness(tmp_path)
    answers = [app.post("/v1/webhooks", json={"url": "https://8.8.8.8/"}), app.get("/v1/webhooks"),
               app.get("/v1/webhooks/wh_1"), app.post("/v1/webhooks/wh_1/test")]  # fmt: skip
    for answer in answers:
        assert "LIPSTAGE_WEBHOOK_KEY" in problem(answer, 501, "WEBHOOKS_UNAVAILABLE")["hint"]
