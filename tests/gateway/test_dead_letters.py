"""Dead letters over HTTP, for operators: listed, explained, and replayed after a plan."""

import uuid
from typing import Any

import httpx
import pytest

from shared.client import Client
from shared.client.connection import Connection
from shared.messages.codes import Code
from tests.client.dead_letters.making import Made, send
from tests.client.services import records
from tests.gateway.conftest import Gateway, problem


@pytest.fixture
def jobs(quiet: Connection) -> list[str]:
    """Three dead letters of acme; those of other tests stand beside them."""
    names = [uuid.uuid4().hex for _ in range(3)]
    codes = (Code.STORE_UNAVAILABLE, Code.CRASH_LOOP, Code.STORE_UNAVAILABLE)
    send(quiet, [Made(name, code=code, fields={"tenant": "acme"}) for name, code in zip(names, codes, strict=True)])
    return names


def listed(operator: httpx.Client, **given: Any) -> list[dict[str, Any]]:
    answer = operator.get("/v1/dead-letters", params=given)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["dead_letters"]
    return found


def test_dead_letters_are_listed_newest_first_and_chosen(operator: httpx.Client, jobs: list[str]) -> None:
    assert {one["job_id"] for one in listed(operator, job=jobs)} == set(jobs)
    assert {one["job_id"] for one in listed(operator, job=jobs, code="CRASH_LOOP")} == {jobs[1]}
    assert listed(operator, job=jobs, tenant="beta") == []
    assert listed(operator, job=jobs, state="replayed") == []
    page = operator.get("/v1/dead-letters", params={"job": jobs, "limit": 2}).json()
    assert (len(page["dead_letters"]), page["more"]) == (2, True)
    times = [one["time_ms"] for one in listed(operator)]
    assert times == sorted(times, reverse=True)


def test_one_is_explained(operator: httpx.Client, jobs: list[str]) -> None:
    (one,) = listed(operator, job=jobs[0])
    about = operator.get(f"/v1/dead-letters/{one['id']}").json()
    assert (about["job_id"], about["code"], about["would_fail_the_same_way"]) == (jobs[0], "STORE_UNAVAILABLE", False)
    assert about["value"]["job_id"] == jobs[0]
    problem(operator.get("/v1/dead-letters/0:99999999"), 404, "DEAD_LETTER_NOT_FOUND")
    problem(operator.get("/v1/dead-letters/x"), 422, "INVALID_REQUEST")


def test_a_replay_shows_its_plan_and_then_sends(
    operator: httpx.Client, gateway: Gateway, quiet: Connection, library: Client, jobs: list[str]
) -> None:
    (one,) = listed(operator, job=jobs[0])
    wanted = {"ids": [one["id"]], "patch": {"params.seed": 7}}
    plan = operator.post("/v1/dead-letters/replay", json=wanted)
    assert plan.status_code == 200, plan.text
    assert (plan.json()["go"], plan.json()["plan"]["to_send"], plan.json()["plan"]["changed"]) == (False, 1, 1)
    assert listed(operator, job=jobs[0])[0]["state"] == "new"
    done = operator.post("/v1/dead-letters/replay", json=wanted | {"go": True}).json()
    assert (done["go"], done["sent"], done["failed"], done["errors"]) == (True, 1, 0, [])
    message = next(m for m in records(quiet, "render.face") if m.key() == jobs[0].encode())
    assert b'"seed":7' in message.value().replace(b" ", b"")
    state = library.dead_letter(one["id"]).state
    assert state is not None
    assert state.by == f"key {gateway.keys['acme operator'].split('_')[1]}"
    again = operator.post("/v1/dead-letters/replay", json=wanted | {"go": True}).json()
    assert (again["sent"], again["plan"]["counts"]) == (0, {"replayed_already": 1})


def test_filters_choose_what_is_replayed(operator: httpx.Client, jobs: list[str]) -> None:
    wanted = {"job": jobs, "code": ["STORE_UNAVAILABLE"], "limit": 1}
    plan = operator.post("/v1/dead-letters/replay", json=wanted).json()["plan"]
    assert (plan["to_send"], plan["counts"]["beyond_limit"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "ids"),
        ({"go": True}, "ids"),
        ({"ids": ["x"]}, None),
        ({"stage": ["film"]}, "stage"),
        ({"code": ["BAD_LUCK"]}, "code"),
        ({"state": ["lost"]}, None),
        ({"job": ["a"], "limit": 0}, "limit"),
        ({"job": ["a"], "rate": -1}, "rate"),
        ({"job": ["a"], "go": "yes"}, "go"),
        ({"job": ["a"], "all": True}, "all"),
        ({"job": ["a"], "to": "render.nothing"}, None),
    ],
)
def test_a_replay_that_can_not_be_is_refused(operator: httpx.Client, body: dict[str, Any], field: str | None) -> None:
    answer = operator.post("/v1/dead-letters/replay", json=body)
    assert problem(answer, 422, "INVALID_REQUEST").get("field") == field


def test_a_list_with_an_unknown_word_is_refused(operator: httpx.Client) -> None:
    assert problem(operator.get("/v1/dead-letters?stage=film"), 422, "INVALID_REQUEST")["field"] == "stage"
