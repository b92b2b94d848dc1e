"""Submitting, looking up, listing, cancelling and deleting over HTTP, on the real broker and object store."""

import hashlib
import json
import os
import uuid
from typing import Any

import httpx
import pytest

from shared.client import Client
from shared.client.connection import Connection
from tests.client.services import records
from tests.gateway.conftest import Gateway, problem, references

INPUTS = "lipstage-inputs"


def sent(quiet: Connection, job: str) -> Any:
    """The record of a job's request."""
    return next(one for one in records(quiet, "render.requests") if one.key() == job.encode())


def test_a_form_becomes_a_request_with_its_files_in_the_bucket(acme: httpx.Client, quiet: Connection) -> None:
    files = {"portrait": ("p.png", os.urandom(1000)), "speech": ("s.wav", os.urandom(3_000_000))}
    answer = acme.post("/v1/renders", files=files, data={"request": json.dumps({"params": {"seed": 3}})})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["tenant"] == "acme"
    request = json.loads(sent(quiet, body["job_id"]).value())
    assert (request["tenant"], request["params"]) == ("acme", {"seed": 3})
    for role, (_, content) in files.items():
        assert request[role]["sha256"] == hashlib.sha256(content).hexdigest()
        assert quiet.s3.get_object(Bucket=INPUTS, Key=request[role]["key"])["Body"].read() == content
    state = acme.get(body["links"]["self"]).json()
    assert (state["job_id"], state["status"]) == (body["job_id"], "queued")


def test_the_trace_of_the_caller_is_continued(acme: httpx.Client, quiet: Connection) -> None:
    trace_id = os.urandom(16).hex()
    headers = {"traceparent": f"00-{trace_id}-{os.urandom(8).hex()}-01", "baggage": "department=film,user=alice"}
    body = acme.post("/v1/renders", json=references("acme"), headers=headers).json()
    assert body["trace_id"] == trace_id
    message = sent(quiet, body["job_id"])
    (parent,) = [value for name, value in message.headers() if name == "traceparent"]
    assert parent.decode().split("-")[1] == trace_id
    assert json.loads(message.value())["department"] == "film"
    assert "alice" not in str(message.headers()) + message.value().decode()


def test_a_repeat_is_recognised_and_another_request_refused(acme: httpx.Client) -> None:
    key = {"idempotency-key": uuid.uuid4().hex}
    first = acme.post("/v1/renders", json=references("acme"), headers=key)
    again = acme.post("/v1/renders", json=references("acme"), headers=key)
    other = acme.post("/v1/renders", json=references("acme", params={"seed": 1}), headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["is_repeat"] is True
    assert first.json()["job_id"] == again.json()["job_id"]
    problem(other, 409, "JOB_CONFLICT")


def test_lists_go_page_by_page_and_are_searched(acme: httpx.Client) -> None:
    batch, word = uuid.uuid4().hex, f"w{uuid.uuid4().hex[:8]}"
    titles = [f"Clip {'odd' if number % 2 else 'even'} {word}" for number in range(7)]
    renders = [
        references("acme", job_id=f"{word}-{number}", labels={"title": title}) for number, title in enumerate(titles)
    ]
    assert acme.post("/v1/batches", json={"batch_id": batch, "renders": renders}).status_code == 202
    found: list[str] = []
    after: str | None = None
    while True:
        given: dict[str, Any] = {"batch": batch, "limit": 3} | ({"after": after} if after else {})
        page = acme.get("/v1/renders", params=given).json()
        found += [one["job_id"] for one in page["renders"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(found) == [f"{word}-{number}" for number in range(7)]

    def search(words: str, **given: Any) -> set[str]:
        page = acme.get("/v1/renders", params={"search": words, "batch": batch, **given}).json()
        return {one["job_id"].removeprefix(f"{word}-") for one in page["renders"]}

    assert search(f"EVEN {word}") == {"0", "2", "4", "6"}
    assert search(f"{word}-3") == {"3"}
    assert search("-3") == set()
    assert len(search(word, limit=2)) == 2
    assert search(word, status="queued") == set("0123456")
    assert search(word, status="done") == set()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"after": "nonsense"}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 1000}, "limit"),
        ({"status": "lost"}, "status.0"),
        ({"since_ms": "yesterday"}, "since_ms"),
        ({"search": "x" * 100}, "search"),
    ],
)
def test_a_list_that_can_not_be_is_refused(acme: httpx.Client, given: dict[str, Any], field: str) -> None:
    assert problem(acme.get("/v1/renders", params=given), 422, "INVALID_REQUEST")["field"] == field


def test_a_render_is_cancelled_once(acme: httpx.Client) -> None:
    job = acme.post("/v1/renders", json=references("acme")).json()["job_id"]
    answer = acme.post(f"/v1/renders/{job}/cancel")
    assert answer.status_code in (200, 202), answer.text
    if answer.status_code == 200:
        assert acme.get(f"/v1/renders/{job}").json()["status"] == "cancelled"
        problem(acme.post(f"/v1/renders/{job}/cancel"), 409, "JOB_ENDED")
    problem(acme.post(f"/v1/renders/{uuid.uuid4().hex}/cancel"), 404, "JOB_NOT_FOUND")


def test_a_render_is_deleted_with_what_was_uploaded_for_it(acme: httpx.Client, quiet: Connection) -> None:
    files = {"portrait": ("p", os.urandom(500)), "speech": ("s", os.urandom(500))}
    job = acme.post("/v1/renders", files=files).json()["job_id"]
    problem(acme.delete(f"/v1/renders/{job}"), 409, "JOB_NOT_FINISHED")
    answer = acme.delete(f"/v1/renders/{job}", params={"force": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()["deleted"]["inputs"]["objects"] == 2
    assert quiet.s3.list_objects_v2(Bucket=INPUTS, Prefix=f"acme/{job}/").get("Contents", []) == []
    problem(acme.delete(f"/v1/renders/{job}"), 410, "JOB_PURGED")
    assert acme.get(f"/v1/renders/{job}").json()["status"] == "purged"
    problem(acme.get(f"/v1/renders/{job}/video"), 410, "JOB_PURGED")
    problem(acme.get(f"/v1/renders/{job}/preview/index.m3u8"), 410, "JOB_PURGED")


def test_a_file_goes_to_the_object_store_by_a_presigned_url(acme: httpx.Client, quiet: Connection) -> None:
    content = os.urandom(2000)
    upload = acme.post("/v1/uploads", json={"role": "portrait", "size": 2000, "content_type": "image/png"}).json()

    def post(data: bytes, **fields: str) -> int:
        return httpx.post(
            upload["url"], data=upload["fields"] | fields, files={"file": ("x", data)}, timeout=60, trust_env=False
        ).status_code

    assert post(content + b"x") == 400, "the object store keeps to the size"
    assert post(content[:-1]) == 400
    assert post(content, key="beta/stolen") == 403, "the URL is for one key"
    assert post(content, **{"Content-Type": "text/html"}) == 403
    assert post(content) in (200, 201, 204)
    key = upload["reference"]["key"]
    head = quiet.s3.head_object(Bucket=INPUTS, Key=key)
    assert (head["ContentLength"], head["ContentType"]) == (2000, "image/png")
    job = acme.post("/v1/renders", json=references("acme", portrait=upload["reference"])).json()["job_id"]
    purged = acme.delete(f"/v1/renders/{job}", params={"force": True}).json()
    assert purged["deleted"]["inputs"] == {"objects": 1, "bytes": 2000}, "it is deleted with the render that used it"
    assert key not in [
        one["Key"] for one in quiet.s3.list_objects_v2(Bucket=INPUTS, Prefix="acme/").get("Contents", [])
    ]


def test_an_upload_that_no_render_used_is_found_by_an_erasure(gateway: Gateway, quiet: Connection) -> None:

    with gateway.client("beta") as beta, Client(quiet.deployment) as library:
        upload = beta.post("/v1/uploads", json={"role": "speech", "size": 4}).json()
        httpx.post(upload["url"], data=upload["fields"], files={"file": ("x", b"abcd")}, timeout=60, trust_env=False)
        plan = library.purge_plan(tenant="beta")
        assert upload["reference"]["key"] in [one.key for one in plan.uploads]
        library.purge_rest(plan)
        assert library.purge_plan(tenant="beta").uploads == []


def test_spans_of_a_render_are_shown(acme: httpx.Client) -> None:
    job = acme.post("/v1/renders", json=references("acme")).json()
    trace: dict[str, Any] = {"spans": []}
    while "submit render.requests" not in {span["name"] for span in trace["spans"]}:
        answer = acme.get(f"/v1/renders/{job['job_id']}/trace")
        assert answer.status_code == 200, answer.text
        trace = answer.json()
    assert {span["trace_id"] for span in trace["spans"]} == {job["trace_id"]}
    assert {span["service"] for span in trace["spans"]} == {"gateway"}


def test_the_stages_are_known_to_operators(operator: httpx.Client) -> None:
    stages = operator.get("/v1/stages").json()["stages"]
    assert [one["stage"] for one in stages] == ["audio", "face", "infer", "encode"]
    assert stages[0]["lag"] > 0
    assert {one["members"] for one in stages} == {0}
    assert stages[2]["engine"] == "puppet"


def test_the_ids_of_another_kind_are_refused(acme: httpx.Client) -> None:
    problem(acme.get("/v1/renders/not%20an%20id"), 422, "INVALID_REQUEST")
    problem(acme.get(f"/v1/renders/{'x' * 65}"), 422, "INVALID_REQUEST")
    problem(acme.get("/v1/renders/..%2fbeta"), 404, "NOT_FOUND")
