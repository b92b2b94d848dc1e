"""Batches over HTTP: submitted, repeated, looked up, cancelled and deleted, on the real broker and object store."""

import uuid
from typing import Any

import httpx
import pytest

from tests.client.services import Services
from tests.gateway.conftest import problem, references


def submitted(acme: httpx.Client, renders: list[Any], batch: str | None = None) -> dict[str, Any]:
    body = {"renders": renders} | ({"batch_id": batch} if batch else {})
    answer = acme.post("/v1/batches", json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{found['batch_id']}"
    return found


def test_each_render_has_its_job_or_its_problem(acme: httpx.Client) -> None:
    renders = [
        references("acme"),
        references("acme", params={"inference_steps": 1000}),
        references("beta"),
        references("acme", tenant="beta"),
        references("acme", batch={"id": "x", "index": 0, "total": 1}),
        "nothing",
        references("acme", labels={"n": "6"}),
    ]
    found = submitted(acme, renders)
    rows = found["renders"]
    assert [row["index"] for row in rows] == list(range(7))
    assert [row.get("problem", {}).get("code") for row in rows] == [
        None, "INVALID_REQUEST", "INPUT_FORBIDDEN", "TENANT_FORBIDDEN", "INVALID_REQUEST", "INVALID_REQUEST", None,
    ]  # fmt: skip
    assert rows[1]["problem"]["field"] == "params.inference_steps"
    state = acme.get(f"/v1/batches/{found['batch_id']}").json()
    assert (state["total"], state["known"], state["counts"], state["has_ended"]) == (7, 2, {"queued": 2}, False)
    assert [one["batch"]["index"] for one in state["renders"]] == [0, 6]


def test_a_batch_with_an_id_can_be_sent_again(acme: httpx.Client) -> None:
    batch, renders = uuid.uuid4().hex, [references("acme", labels={"n": str(n)}) for n in range(3)]
    first, second = submitted(acme, renders, batch), submitted(acme, renders, batch)
    assert [row["job_id"] for row in first["renders"]] == [row["job_id"] for row in second["renders"]]
    assert {row["is_repeat"] for row in first["renders"]} == {False}
    assert {row["is_repeat"] for row in second["renders"]} == {True}


def test_a_batch_is_cancelled_and_deleted(acme: httpx.Client, services: Services) -> None:
    batch = uuid.uuid4().hex
    jobs = [row["job_id"] for row in submitted(acme, [references("acme")] * 3, batch)["renders"]]
    place = {"id": batch, "index": 0, "total": 3}
    services.done(jobs[0], tenant="acme", batch=place)
    cancelled = acme.post(f"/v1/batches/{batch}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert set(cancelled.json()["cancelled"]) <= set(jobs)
    rows = acme.delete(f"/v1/batches/{batch}", params={"force": True}).json()["renders"]
    assert {row["job_id"] for row in rows} == set(jobs)
    for row in rows:
        assert ("problem" in row) != ("deleted" in row)
    problem(acme.get(f"/v1/batches/{uuid.uuid4().hex}"), 404, "JOB_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "renders"),
        ({"renders": []}, "renders"),
        ({"renders": {}}, "renders"),
        ({"renders": [{}] * 21}, "renders"),
        ({"renders": [{}], "batch_id": "no such id"}, "batch_id"),
        ({"renders": [{}], "name": "x"}, "name"),
    ],
)
def test_a_batch_that_can_not_be_is_refused(acme: httpx.Client, body: dict[str, Any], field: str) -> None:
    assert problem(acme.post("/v1/batches", json=body), 422, "INVALID_REQUEST")["field"] == field
