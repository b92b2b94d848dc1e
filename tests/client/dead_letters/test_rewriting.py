"""Replays that change the record: later deadlines, patches, transforms."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from shared import __version__
from shared.client import Client
from shared.client.connection import Connection
from shared.client.dead_letters.plan import Verdict
from shared.client.dead_letters.rewriting import load_transform
from shared.client.errors import InvalidRequest
from shared.messages.codes import Code
from shared.messages.refs import OutputRef
from shared.messages.task import RenderTask
from shared.storage import markers
from tests.client.dead_letters.making import Made, send, sent
from tests.client.dead_letters.replaying import counts, options, replayed


def test_expired_requests_need_a_later_deadline(client: Client, deployment: Connection) -> None:
    now_ms = int(time.time() * 1000)
    send(
        deployment,
        [
            Made("task", fields={"deadline_s": 60.0}),
            Made("request", "render.requests", "audio", fields={"deadline_s": 60.0}),
            Made("younger", fields={"deadline_s": 60.0, "submitted_ms": now_ms - 120_000}),
            Made("in-time", "render.requests", "audio", fields={"deadline_s": 6000.0}, original_ms=now_ms),
        ],
    )
    plan = client.replay(options(client)).plan()
    assert counts(plan) == {Verdict.SEND: 1, Verdict.EXPIRED: 3}
    plan, _ = replayed(client, changes={"extend_deadline_s": 3600.0})
    assert counts(plan) == {Verdict.SEND: 4}
    for record in sent(deployment, "render.face"):
        task = RenderTask.parse(record.value())
        assert task.request.deadline_s is not None
        assert abs(task.submitted_ms + task.request.deadline_s * 1000 - (now_ms + 3_600_000)) < 120_000
    deadlines = [json.loads(record.value())["deadline_s"] for record in sent(deployment, "render.requests")]
    assert deadlines == [3600.0, 3600.0], "counted from the new record"


def test_a_patch_changes_one_field_and_is_checked(client: Client, deployment: Connection) -> None:
    send(deployment, [Made("a", fields={"params": {"seed": 1}}), Made("b", "render.requests", "audio")])
    plan, _ = replayed(client, changes={"patches": (("params.seed", "7"), ("department", "x"))})
    assert (plan.to_send, plan.changed, len(plan.diffs)) == (2, 2, 2)
    assert '+    "department": "x",' in "\n".join(plan.diffs)
    task = RenderTask.parse(sent(deployment, "render.face")[0].value())
    assert (task.request.params.seed, task.request.department, task.job_id) == (7, "x", "a")
    assert json.loads(sent(deployment, "render.requests")[0].value())["params"] == {"seed": 7}
    out_of_range = {"patches": (("params.seed", "-1"),)}
    plan = client.replay(options(client, force=True, changes=out_of_range)).plan()
    assert counts(plan) == {Verdict.INVALID: 2}
    assert "params.seed" in plan.problems[0]
    with pytest.raises(InvalidRequest, match="no request has a field"):
        client.replay(options(client, force=True, changes={"patches": (("params.sead", "7"),)})).plan()


def test_a_changed_request_keeps_its_job_id(client: Client, deployment: Connection) -> None:
    """The claim of the job id names the body: the front would answer the changed one with `conflict`."""
    made = Made("a", "render.requests", "audio")
    value = made.record("", 0).value or b""
    markers.claim_request(
        deployment.documents,
        "default",
        "a",
        markers.RequestRecord(request_id="r", body_sha256=hashlib.sha256(value).hexdigest()),
    )
    send(deployment, [made])
    place = (("output.bucket", "films"), ("output.prefix", "default/out"))
    replayed(client, changes={"patches": (("params.seed", "7"), ("owner", "ann"), *place)})
    (message,) = sent(deployment, "render.requests")
    record = markers.read_request(deployment.documents, "default", "a")
    assert record is not None
    assert (record.request_id, record.body_sha256) == ("r", hashlib.sha256(message.value()).hexdigest())
    assert (record.owner, record.output) == ("ann", OutputRef(bucket="films", prefix="default/out"))
    other = Made("b", "render.requests", "audio")
    markers.claim_request(
        deployment.documents, "default", "b", markers.RequestRecord(request_id="r", body_sha256="0" * 64)
    )
    send(deployment, [other])
    _, done = replayed(client, changes={"patches": (("params.seed", "7"),)})
    assert (done.sent, done.failed) == (0, 1)
    assert "another request has its job id" in done.errors[0]


TRANSFORM = """
def transform(record):
    value = record["value"]
    if record["key"] == "skip":
        return None
    if record["key"] == "raise":
        raise KeyError("x")
    if record["key"] == "other":
        value["job_id"] = "another-job"
    value["submitted_ms"] = 5 if record["key"] != "invalid" else "five"
    return record
"""


def test_a_transform_repairs_skips_and_is_checked(client: Client, deployment: Connection, tmp_path: Path) -> None:
    path = tmp_path / "repair.py"
    path.write_text(TRANSFORM)
    jobs = ("repair", "skip", "raise", "invalid", "other")
    send(
        deployment,
        [Made(job, code=Code.POISON, version=__version__, value=json.dumps(broken(job)).encode()) for job in jobs],
    )
    assert counts(client.replay(options(client)).plan()) == {Verdict.SAME: 5}
    plan, done = replayed(client, changes={"transform": load_transform(path)})
    assert counts(plan) == {Verdict.SEND: 1, Verdict.SKIPPED: 1, Verdict.INVALID: 3}
    assert (done.sent, done.refused) == (1, 3)
    assert '+    "submitted_ms": 5' in plan.diffs[0]
    assert any("KeyError" in text for text in plan.problems)
    assert RenderTask.parse(sent(deployment, "render.face")[0].value()).submitted_ms == 5
    kept = [m for m in sent(deployment, "render.dlq") if m.key() == b"repair"]
    assert b"submitted_ms" not in kept[0].value(), "the original stays as it was"


def broken(job: str) -> dict[str, Any]:
    """A task of an earlier schema: it lacks a field."""
    body: dict[str, Any] = json.loads(Made(job).record("", 0).value or b"")
    del body["submitted_ms"]
    return body
