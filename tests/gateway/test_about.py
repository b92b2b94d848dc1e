"""What needs no broker: keys, sessions, parameters, hosts and origins, presigned URLs, departments from baggage."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import __version__
from shared.access import api_keys
from shared.messages.request import OPTIMAL_STEPS, Params
from stages.gateway.parameters import of_model
from stages.gateway.submitting import department_of
from tests.gateway.app_harness import Harness, harness

REFERENCES = {"portrait": {"key": "acme/p.png"}, "speech": {"key": "acme/s.wav"}}


@pytest.fixture
def app(tmp_path: Path) -> Harness:
    return harness(tmp_path)


@pytest.fixture
def keyed(tmp_path: Path) -> tuple[Harness, str, str]:
    """An application that asks for keys, a key of a user and one of an operator."""
    user, user_text = api_keys.make("acme", "user")
    operator, operator_text = api_keys.make("acme", "operator")
    file = tmp_path / "keys.jsonl"
    api_keys.write(file, [user, operator])
    return harness(tmp_path / "uploads", keys=file), user_text, operator_text


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()


def test_health_needs_no_key(keyed: tuple[Harness, str, str]) -> None:
    app, *_ = keyed
    assert app.get("/healthz").json() == {"ok": True}


def test_without_keys_the_loopback_is_an_operator_of_the_default_tenant(app: Harness) -> None:
    me = {"tenant": "default", "role": "operator", "key_id": "loopback", "version": __version__, "keys": False}
    assert app.get("/v1/me").json() == me


def test_a_key_says_whom_it_speaks_for(keyed: tuple[Harness, str, str]) -> None:
    app, user, operator = keyed
    assert app.get("/v1/me", user).json()["role"] == "user"
    assert app.get("/v1/me", operator).json() | {"key_id": ""} == {
        "tenant": "acme", "role": "operator", "key_id": "", "version": __version__, "keys": True,
    }  # fmt: skip


@pytest.mark.parametrize("key", [None, "nonsense", "lipstage_aaaaaaaaaaaa_" + "a" * 43])
def test_a_wrong_key_is_refused(keyed: tuple[Harness, str, str], key: str | None) -> None:
    answer = keyed[0].get("/v1/me", key)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_session_keeps_the_key_where_no_script_reads_it(keyed: tuple[Harness, str, str]) -> None:
    app, user, _ = keyed

    async def ask() -> tuple[httpx.Response, httpx.Response, httpx.Response, httpx.Response]:
        async with app.client(address="https://lipstage.example") as client:
            begun = await client.post("/v1/session", json={"key": user})
            inside = await client.get("/v1/me")
            ended = await client.delete("/v1/session")
            return begun, inside, ended, await client.get("/v1/me")

    begun, inside, ended, after = asyncio.run(ask())
    assert begun.json() == inside.json()
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith(f"lipstage_key={user};")
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert (ended.status_code, after.status_code) == (204, 401)


def test_a_session_on_the_loopback_needs_no_https(keyed: tuple[Harness, str, str]) -> None:
    app, user, _ = keyed
    assert "secure" not in app.post("/v1/session", json={"key": user}).headers["set-cookie"].lower()


@pytest.mark.parametrize("body", [{}, {"key": 7}, {"key": "k", "more": 1}, {"key": "x" * 300}])
def test_a_malformed_session_is_refused(keyed: tuple[Harness, str, str], body: dict[str, Any]) -> None:
    assert keyed[0].post("/v1/session", json=body).status_code == 422
    assert keyed[0].post("/v1/session", json={"key": "wrong"}).status_code == 401


@pytest.mark.parametrize("path", ["/v1/dead-letters", "/v1/dead-letters/0:1", "/v1/stages"])
def test_operators_routes_refuse_users(keyed: tuple[Harness, str, str], path: str) -> None:
    answer = keyed[0].get(path, keyed[1])
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_parameters_are_those_of_the_models(app: Harness) -> None:
    answer = app.get("/v1/params").json()
    assert answer["engines"] == ["puppet"]
    assert set(answer["params"]) == set(Params.model_fields)
    assert answer["params"]["min_resolution"] == {
        "type": "integer", "minimum": 256, "maximum": 1024, "multiple_of": 64, "choices": None, "default": 512,
        "about": "Short side of the video, pixels.", "advice": None, "advised_minimum": None,
        "values": "a whole number, 256 to 1024, a multiple of 64",
    }  # fmt: skip
    assert answer["params"]["inference_steps"]["advised_minimum"] == OPTIMAL_STEPS
    assert "quality" in answer["params"]["inference_steps"]["advice"]
    assert answer["params"]["framing"]["choices"] == ["original", "face"]
    assert set(answer["engine_params"]) == {"puppet"}
    assert answer["limits"] == {"portrait_mb": 1, "speech_mb": 2, "max_batch": 1000}
    assert [name for name, one in of_model(Params).items() if one["advice"]] == ["inference_steps"]


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1", ""])
def test_without_keys_no_other_host_is_answered(app: Harness, host: str) -> None:
    answer = app.get("/v1/me", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "WRONG_HOST")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_no_page_of_another_origin_changes_anything(app: Harness, headers: dict[str, str]) -> None:
    answer = app.post("/v1/renders", json=REFERENCES, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_FORBIDDEN")
    assert app.recorder.specs == []


def test_the_page_itself_may(app: Harness) -> None:
    references = {role: {"key": ref["key"].replace("acme", "default")} for role, ref in REFERENCES.items()}
    headers = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert app.post("/v1/renders", json=references, headers=headers).status_code == 202


def test_a_department_comes_from_the_baggage(keyed: tuple[Harness, str, str]) -> None:
    app, user, _ = keyed
    baggage = {"baggage": "userId=alice, department=film;meta=1, secret=x"}
    assert app.post("/v1/renders", user, json=REFERENCES, headers=baggage).status_code == 202
    assert app.post("/v1/renders", user, json=REFERENCES | {"department": "tv"}, headers=baggage).status_code == 202
    first, second = app.recorder.specs
    assert (first.fields["department"], second.fields["department"]) == ("film", "tv")
    assert "alice" not in json.dumps(dict(first.fields))


@pytest.mark.parametrize(
    "baggage", [None, "", "department=", "department=Not A Name", "x" * 9000, "department", "=,;="]
)
def test_other_baggage_is_ignored(baggage: str | None) -> None:
    assert department_of(baggage) is None


def test_an_upload_is_signed_for_one_size_and_type(keyed: tuple[Harness, str, str]) -> None:
    app, user, _ = keyed
    answer = app.post("/v1/uploads", user, json={"role": "portrait", "size": 5, "content_type": "image/png"})
    assert answer.status_code == 201
    upload = answer.json()
    key = upload["reference"]["key"]
    assert key.startswith("acme/posted.uploads/")
    assert upload["fields"]["key"] == key
    policy = json.loads(base64.b64decode(upload["fields"]["policy"]))
    assert ["content-length-range", 5, 5] in policy["conditions"]
    assert {"Content-Type": "image/png"} in policy["conditions"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"role": "portrait", "size": (1 << 20) + 1}, 413, "size"),
        ({"role": "portrait", "size": 0}, 422, "size"),
        ({"role": "film", "size": 1}, 422, "role"),
        ({"role": "speech"}, 422, "size"),
        ({"role": "speech", "size": 1, "content_type": "text/html; charset=x"}, 422, "content_type"),
        ({"role": "speech", "size": 1, "key": "mine"}, 422, "key"),
    ],
)
def test_an_upload_that_can_not_be_is_refused(app: Harness, body: dict[str, Any], status: int, field: str) -> None:
    answer = app.post("/v1/uploads", json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_a_request_of_another_kind_is_refused(app: Harness) -> None:
    text = app.post("/v1/renders", content=b"hello", headers={"content-type": "text/plain"})
    assert (text.status_code, text.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert app.post("/v1/renders", content=b"{" * 2_000_000).status_code == 413
    assert app.post("/v1/renders", content=b"[" * 100_000).status_code == 400
    assert app.get("/nothing").json()["code"] == "NOT_FOUND"
    other = app.run(lambda client: client.put("/v1/renders"))
    assert (other.json()["code"], other.headers["allow"]) == ("METHOD_NOT_ALLOWED", "GET, POST")


def test_a_key_over_its_rate_is_told_when_to_come_back(tmp_path: Path) -> None:
    app = harness(tmp_path, rate_per_s=0.01, rate_burst=2)
    answers = [app.get("/v1/me") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 50
