"""No key of one tenant sees, cancels, fetches, deletes or replays anything of another: over every route there is."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from shared.client.connection import Connection
from stages.gateway.app import ROUTERS
from tests.client.dead_letters.making import Made, send
from tests.client.services import Services
from tests.gateway.conftest import references


@dataclass(frozen=True)
class Things:
    """What the tenant beta has."""

    job: str
    batch: str
    dead_letter: str
    webhook: str

    def all(self) -> tuple[str, ...]:
        return self.job, self.batch, self.webhook


Row = Callable[[httpx.Client, Things], httpx.Response]
FORBIDDEN, UNKNOWN = 403, 404
OWN = 0
"""The answer is about the caller's own tenant: it must not hold anything of the other."""


def asks(method: str, path: str, **given: Any) -> Row:
    return lambda client, things: client.request(method, path.format(**vars(things)), **given)


def with_body(method: str, path: str, body: Callable[[Things], Any]) -> Row:
    return lambda client, things: client.request(method, path.format(**vars(things)), json=body(things))


OF_BETA = references("beta")
ROWS: dict[tuple[str, str], tuple[int, Row]] = {
    ("GET", "/healthz"): (OWN, asks("GET", "/healthz")),
    ("GET", "/"): (OWN, asks("GET", "/")),
    ("HEAD", "/"): (OWN, asks("HEAD", "/")),
    ("GET", "/page/{name}"): (OWN, asks("GET", "/page/app.js")),
    ("HEAD", "/page/{name}"): (OWN, asks("HEAD", "/page/app.js")),
    ("POST", "/v1/check"): (OWN, asks("POST", "/v1/check", files={"speech": b"no sound"})),
    ("GET", "/v1/me"): (OWN, asks("GET", "/v1/me")),
    ("POST", "/v1/session"): (401, asks("POST", "/v1/session", json={"key": "beta"})),
    ("DELETE", "/v1/session"): (OWN, asks("DELETE", "/v1/session")),
    ("GET", "/v1/params"): (OWN, asks("GET", "/v1/params")),
    ("POST", "/v1/renders"): (FORBIDDEN, asks("POST", "/v1/renders", json=OF_BETA | {"tenant": "beta"})),
    ("POST", "/generate"): (
        FORBIDDEN,
        asks("POST", "/generate", json={"portrait_image": "beta/p", "prompt": {"audio_clip": "beta/s"}}),
    ),
    ("GET", "/v1/renders"): (OWN, asks("GET", "/v1/renders", params={"limit": 200})),
    ("GET", "/v1/renders/{job_id}"): (UNKNOWN, asks("GET", "/v1/renders/{job}")),
    ("GET", "/v1/renders/{job_id}/events"): (UNKNOWN, asks("GET", "/v1/renders/{job}/events")),
    ("POST", "/v1/renders/{job_id}/cancel"): (UNKNOWN, asks("POST", "/v1/renders/{job}/cancel")),
    ("DELETE", "/v1/renders/{job_id}"): (UNKNOWN, asks("DELETE", "/v1/renders/{job}", params={"force": True})),
    ("GET", "/v1/renders/{job_id}/video"): (UNKNOWN, asks("GET", "/v1/renders/{job}/video")),
    ("HEAD", "/v1/renders/{job_id}/video"): (UNKNOWN, asks("HEAD", "/v1/renders/{job}/video")),
    ("GET", "/v1/renders/{job_id}/poster"): (UNKNOWN, asks("GET", "/v1/renders/{job}/poster")),
    ("HEAD", "/v1/renders/{job_id}/poster"): (UNKNOWN, asks("HEAD", "/v1/renders/{job}/poster")),
    ("GET", "/v1/renders/{job_id}/preview/{name:path}"): (UNKNOWN, asks("GET", "/v1/renders/{job}/preview/index.m3u8")),
    ("GET", "/v1/renders/{job_id}/trace"): (UNKNOWN, asks("GET", "/v1/renders/{job}/trace")),
    ("POST", "/v1/uploads"): (OWN, asks("POST", "/v1/uploads", json={"role": "speech", "size": 1})),
    ("POST", "/v1/batches"): (OWN, asks("POST", "/v1/batches", json={"renders": [OF_BETA]})),
    ("GET", "/v1/batches/{batch_id}"): (UNKNOWN, asks("GET", "/v1/batches/{batch}")),
    ("GET", "/v1/batches/{batch_id}/events"): (UNKNOWN, asks("GET", "/v1/batches/{batch}/events")),
    ("POST", "/v1/batches/{batch_id}/cancel"): (UNKNOWN, asks("POST", "/v1/batches/{batch}/cancel")),
    ("DELETE", "/v1/batches/{batch_id}"): (UNKNOWN, asks("DELETE", "/v1/batches/{batch}", params={"force": True})),
    ("POST", "/v1/webhooks"): (422, asks("POST", "/v1/webhooks", json={"url": "https://10.0.0.1/"})),
    ("GET", "/v1/webhooks"): (OWN, asks("GET", "/v1/webhooks")),
    ("GET", "/v1/webhooks/{webhook_id}"): (UNKNOWN, asks("GET", "/v1/webhooks/{webhook}")),
    ("DELETE", "/v1/webhooks/{webhook_id}"): (UNKNOWN, asks("DELETE", "/v1/webhooks/{webhook}")),
    ("POST", "/v1/webhooks/{webhook_id}/test"): (UNKNOWN, asks("POST", "/v1/webhooks/{webhook}/test")),
    # Operators of the deployment see every tenant's: a user's key sees none, not even its own.
    ("GET", "/v1/dead-letters"): (FORBIDDEN, asks("GET", "/v1/dead-letters")),
    ("GET", "/v1/dead-letters/{dead_letter_id}"): (FORBIDDEN, asks("GET", "/v1/dead-letters/{dead_letter}")),
    ("POST", "/v1/dead-letters/replay"): (
        FORBIDDEN,
        with_body("POST", "/v1/dead-letters/replay", lambda t: {"ids": [t.dead_letter], "go": True}),
    ),
    ("GET", "/v1/stages"): (FORBIDDEN, asks("GET", "/v1/stages")),
}  # fmt: skip
ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)


@pytest.fixture(scope="module")
def things(quiet: Connection, gateway: Any) -> Things:
    """A finished render, a batch and a dead letter of beta."""
    job, batch = uuid.uuid4().hex, uuid.uuid4().hex
    Services(quiet).done(job, b"secret of beta", tenant="beta")
    send(quiet, [Made(job, fields={"tenant": "beta"})])
    with gateway.client("beta") as beta:
        answer = beta.post("/v1/batches", json={"batch_id": batch, "renders": [OF_BETA]})
        assert "job_id" in answer.json()["renders"][0], answer.text
        assert beta.get(f"/v1/renders/{job}/video").content == b"secret of beta"
        webhook = beta.post("/v1/webhooks", json={"url": "https://8.8.8.8/", "description": "secret of beta"})
        assert webhook.status_code == 201, webhook.text
    with gateway.client("acme operator") as operator:
        (one,) = operator.get("/v1/dead-letters", params={"job": job}).json()["dead_letters"]
    return Things(job, batch, one["id"], webhook.json()["id"])


def test_every_route_has_a_row() -> None:
    assert [route for route in ROUTES if route not in ROWS] == []


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
@pytest.mark.parametrize("key", ["acme", "acme operator", None])
def test_a_key_of_acme_reaches_nothing_of_beta(
    gateway: Any, things: Things, route: tuple[str, str], key: str | None
) -> None:
    expected, ask = ROWS[route]
    with gateway.client(key) as client:
        answer = ask(client, things)
    if key is None and route[1] not in ("/", "/page/{name}", "/healthz", "/v1/session"):
        assert answer.status_code == 401
        return
    if key == "acme operator" and expected == FORBIDDEN and route[1].startswith(("/v1/dead-letters", "/v1/stages")):
        return
    if expected == OWN:
        assert answer.status_code < 300
        assert "secret" not in answer.text
        if route != ("POST", "/v1/batches"):
            assert not any(one in answer.text for one in things.all())
        else:
            assert answer.json()["renders"][0]["problem"]["code"] == "INPUT_FORBIDDEN"
    else:
        assert answer.status_code == expected, answer.text
        assert "secret" not in answer.text


def test_all_of_it_is_still_there(gateway: Any, things: Things) -> None:
    with gateway.client("beta") as beta:
        assert beta.get(f"/v1/renders/{things.job}").json()["status"] == "done"
        assert beta.get(f"/v1/renders/{things.job}/video").content == b"secret of beta"
        assert beta.get(f"/v1/batches/{things.batch}").json()["counts"] == {"queued": 1}
        assert things.webhook in [one["id"] for one in beta.get("/v1/webhooks").json()["webhooks"]]
