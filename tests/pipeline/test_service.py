"""Operation of a service: probes, orderly shutdown, attempts, and records that must not stop it."""

import json
import os
import signal
import urllib.error
import urllib.request
import uuid
from collections import Counter

import pytest

from shared.local import processes
from shared.messages.pipeline import STAGES
from tests.pipeline.client import Client, Reader, body
from tests.pipeline.conftest import Pipeline, spoken, unseen_portrait, unseen_start
from tests.pipeline.test_kills import children, parent, worker


def probe(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def dead_letter(reader: Reader, client: Client, key: bytes) -> dict[str, str]:
    """The added headers of the dead letter with that key."""
    matching: list[dict[str, str]] = []

    def received() -> bool:
        message = reader.poll(0.1)
        if message is not None and message.key() == key:
            added = [(name, value.decode()) for name, value in message.headers() if name.startswith("__dlq")]
            matching.append(dict(added))
        return bool(matching)

    client.until(received, 60)
    return matching[0]


@pytest.fixture
def long_job(client: Client, pipeline: Pipeline) -> str:
    """A job of several seconds that infer is processing."""
    portrait, speech = client.upload(unseen_portrait()), client.upload(spoken(6.5, unseen_start() % 3))
    job = client.submit(portrait, speech, params={"min_resolution": 768})
    client.started(job, "infer")
    return job


@pytest.mark.parametrize("stage", STAGES)
def test_idle_service_is_live_and_ready(pipeline: Pipeline, client: Client, stage: str) -> None:
    port = next(service.health_port for service in pipeline.stack.services if service.stage == stage)
    client.until(lambda: probe(port, "/readyz")[0] == 200, 30)
    assert probe(port, "/livez") == (200, {"ok": True, "reason": None})
    assert probe(port, "/readyz") == (200, {"ok": True, "reason": None, "confinement": "full"})


def test_idle_worker_that_dies_is_replaced_and_the_service_is_ready_again(pipeline: Pipeline, client: Client) -> None:
    port = next(service.health_port for service in pipeline.stack.services if service.stage == "infer")
    client.until(lambda: probe(port, "/readyz")[0] == 200, 30)
    first = worker(pipeline, "infer")
    processes.kill(first)
    client.until(lambda: first not in children(pipeline, "infer"), 10)
    client.until(lambda: probe(port, "/readyz")[0] == 200 and len(children(pipeline, "infer")) == 1, 30)


def test_sigterm_lets_the_task_finish_and_leaves_the_group(client: Client, pipeline: Pipeline, long_job: str) -> None:
    service = parent(pipeline, "infer")
    os.kill(service.pid, signal.SIGTERM)
    client.done(long_job)
    started = Counter(e.stage for e in client.events[long_job] if e.type == "started")
    assert started["infer"] == 1, "the running task was finished"
    assert processes.wait_gone([service], 30)
    again = client.submit(client.upload(unseen_portrait()), client.upload(spoken(0.4, unseen_start())))
    client.done(again)


def test_task_whose_worker_dies_gets_three_attempts_then_a_dead_letter(
    client: Client, pipeline: Pipeline, long_job: str
) -> None:
    dead_letters = Reader(pipeline.stack.bootstrap_servers, "render.dlq")
    for attempt in (1, 2, 3):
        client.until(
            lambda n=attempt: any(  # type: ignore[misc]
                (e.type, e.stage, e.body["attempt"]) == ("started", "infer", n) for e in client.events[long_job]
            ),
            60,
        )
        client.until(lambda: len(children(pipeline, "infer")) == 1, 30)
        processes.kill(worker(pipeline, "infer"))
    (end,) = client.wait([long_job])
    assert (end.type, end.body["code"], end.body["attempt"]) == ("failed", "CRASH_LOOP", 3)
    ours = dead_letter(dead_letters, client, long_job.encode())
    assert (ours["__dlq.errors.code"], ours["__dlq.errors.delivery.count"]) == ("CRASH_LOOP", "3")
    assert client.keys(f"jobs/default/{long_job}/infer/") == []
    dead_letters.close()
    good = client.submit(client.upload(unseen_portrait()), client.upload(spoken(0.4, unseen_start())))
    client.done(good)


def test_internal_record_with_an_invalid_job_id_or_a_megabyte_is_a_dead_letter(
    client: Client, pipeline: Pipeline, portrait: str
) -> None:
    """Without limits either record would end the service after every delivery."""
    dead_letters = Reader(pipeline.stack.bootstrap_servers, "render.dlq")
    face = parent(pipeline, "face")
    request = json.loads(body(portrait, portrait))
    odd = {"job_id": "../a", "request_id": "r", "request": request, "submitted_ms": 1, "outputs": {}}
    records = {b"odd": json.dumps(odd).encode(), b"large": b"x" * 990_000}
    for key, value in records.items():
        client.produce("render.face", value, key, partition=1)
        ours = dead_letter(dead_letters, client, key)
        assert ours["__dlq.errors.code"] == "POISON"
        assert "../a" not in ours["__dlq.errors.message"]
    dead_letters.close()
    assert parent(pipeline, "face") == face, "the same process continues"


def test_job_cancelled_before_it_starts_does_no_work(client: Client, pipeline: Pipeline, portrait: str) -> None:
    """The first stage that reads the cancel command ends the job; another tenant's command has no effect."""
    job, other = uuid.uuid4().hex, uuid.uuid4().hex
    client.produce("render.cancel", b'{"tenant": "other"}', other)
    client.produce("render.cancel", b"{}", job)
    speech = client.upload(spoken(5.0))
    client.submit(portrait, speech, job=job, params={"min_resolution": 512})
    client.submit(portrait, speech, job=other)
    (end,) = client.wait([job])
    assert (end.type, end.body["code"]) == ("failed", "CANCELLED")
    client.done(other)
    assert [key for key in client.keys(f"jobs/default/{job}/") if "/infer/" in key or key.endswith(".mp4")] == []


def test_user_media_are_deleted_from_disk(client: Client, pipeline: Pipeline, portrait: str) -> None:
    client.done(client.submit(portrait, client.upload(spoken(0.4))))
    held = "lipstage-*"
    assert len(list(pipeline.stack.scratch.glob(f"{held}/lock"))) == len(STAGES)
    # A worker process keeps two folders, of inputs and of work; nothing is in them.
    client.until(lambda: not list(pipeline.stack.scratch.glob(f"{held}/worker-*/*/*")), 10)
    assert {p.name for p in pipeline.stack.scratch.glob(f"{held}/*") if p.is_file()} == {"lock"}
