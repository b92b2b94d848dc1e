"""Uploads that stop, clients that go away, and gateways that are killed: nothing is lost, and nothing stays."""

import json
import os
import signal
import socket
import uuid
from pathlib import Path

import httpx
import pytest

from shared.client import Client
from shared.client.connection import Connection
from shared.messages.tenant_topics import tenant_topic
from tests.client.services import records
from tests.conftest import ROOT, apply_topics
from tests.gateway.conftest import Gateway, make_keys, problem, references, start
from tests.pipeline.conftest import Pipeline, spoken, unseen_start
from tests.runtime.test_positions import until


def begin_upload(gateway: Gateway, job: str) -> socket.socket:
    """A connection on which the half of an upload has arrived."""
    files = {"portrait": ("p", b"portrait"), "speech": ("s", b"x" * 9000)}
    request = httpx.Request("POST", gateway.url, files=files, data={"request": json.dumps({"job_id": job})})
    body = request.read()
    head = [
        "POST /v1/renders HTTP/1.1",
        f"host: {gateway.url.removeprefix('http://')}",
        f"content-type: {request.headers['content-type']}",
        f"content-length: {len(body)}",
        f"authorization: Bearer {gateway.keys['acme']}",
    ]
    connection = socket.create_connection(gateway.address, 30)
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])
    until(lambda: bool(gateway.uploads), "the upload has begun")
    return connection


def is_known(gateway: Gateway, job: str) -> bool:
    with gateway.client("acme") as client:
        return client.get(f"/v1/renders/{job}").status_code != 404


def test_a_client_that_goes_away_leaves_neither_file_nor_job(gateway: Gateway) -> None:
    job = uuid.uuid4().hex
    begin_upload(gateway, job).close()
    until(lambda: not gateway.uploads, "the upload is deleted")
    assert not is_known(gateway, job)


def test_a_slow_upload_is_ended_and_told_so(gateway: Gateway) -> None:
    job = uuid.uuid4().hex
    with begin_upload(gateway, job) as connection, connection.makefile("rb") as answer:
        text = answer.read().decode()  # Until the gateway closes the connection.
    assert text.startswith("HTTP/1.1 408 ")
    assert '"code": "REQUEST_TIMEOUT"' in text or '"code":"REQUEST_TIMEOUT"' in text
    assert gateway.uploads == []
    assert not is_known(gateway, job)


@pytest.fixture
def environment(quiet: Connection, tmp_path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Settings of a gateway of a test's own, and its keys."""
    keys = make_keys(tmp_path / "keys.jsonl")
    return {
        "LIPSTAGE_TOPIC_PREFIX": quiet.settings.topic_prefix,
        "LIPSTAGE_GATEWAY_KEYS_FILE": str(tmp_path / "keys.jsonl"),
        "LIPSTAGE_GATEWAY_UPLOAD_IDLE_S": "60",
        "LIPSTAGE_GATEWAY_MAX_UPLOADS": "1",
    }, keys


def test_what_a_killed_gateway_leaves_is_deleted_by_the_next(
    environment: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    variables, keys = environment
    job = uuid.uuid4().hex
    killed = start(tmp_path, keys, **variables)
    with begin_upload(killed, job):
        with killed.client("acme") as second:
            refused = second.post("/v1/renders", files={"portrait": ("p", b"x"), "speech": ("s", b"x")})
            problem(refused, 503, "TOO_MANY_UPLOADS")
            assert second.post("/v1/renders", json=references("acme")).status_code == 202
        killed.stop(signal.SIGKILL)
    assert killed.uploads != []
    again = start(tmp_path, keys, **variables)
    try:
        assert again.uploads == []
        assert not is_known(again, job)
    finally:
        assert again.stop() == 0
    assert list(again.scratch.iterdir()) == []


def test_signed_requests_are_signed_by_the_gateway(
    environment: tuple[dict[str, str], dict[str, str]], quiet: Connection, tmp_path: Path
) -> None:
    variables, keys = environment
    secret = f"k1:{os.urandom(24).hex()}"
    signed = start(tmp_path, keys, **variables, LIPSTAGE_TENANCY="signed", LIPSTAGE_TENANT_KEY=secret)
    try:
        with signed.client("acme") as client:
            job = client.post("/v1/renders", json=references("acme")).json()["job_id"]
    finally:
        signed.stop()
    message = next(one for one in records(quiet, "render.requests") if one.key() == job.encode())
    assert [name for name, _ in message.headers() if "signature" in name]


def test_requests_go_to_the_tenants_own_topic(
    environment: tuple[dict[str, str], dict[str, str]], quiet: Connection, tmp_path: Path
) -> None:
    variables, keys = environment
    settings = quiet.settings.model_copy(update={"tenancy": "topic", "tenant_partitions": 1, "work_partitions": 1})
    apply_topics(settings, ("acme",))
    own = start(tmp_path, keys, **variables, LIPSTAGE_TENANCY="topic")
    try:
        with own.client("acme") as client:
            answer = client.post("/v1/renders", json=references("acme"))
            assert answer.status_code == 202, answer.text
            job = answer.json()["job_id"]
            assert client.get(f"/v1/renders/{job}").json()["status"] == "queued"
        with own.client("beta") as client:
            assert client.post("/v1/renders", json=references("beta")).status_code in (502, 503), "it has no topics"
    finally:
        own.stop()
    assert next(records(quiet, tenant_topic("render.requests", "acme"))).key() == job.encode()


def test_a_render_goes_on_when_its_gateway_is_killed(pipeline: Pipeline, tmp_path: Path) -> None:
    trace_id = os.urandom(16).hex()
    files = {"portrait": ("p", (ROOT / "samples" / "portrait.png").read_bytes()),
             "speech": ("s", spoken(0.5, unseen_start()))}  # fmt: skip
    killed = start(tmp_path)
    with killed.client() as client:
        headers = {"traceparent": f"00-{trace_id}-{os.urandom(8).hex()}-01"}
        small = {"request": json.dumps({"params": {"min_resolution": 256}})}
        answer = client.post("/v1/renders", files=files, data=small, headers=headers)
    killed.stop(signal.SIGKILL)
    assert answer.status_code == 202, answer.text
    with Client(service_name="test") as library:
        end = library.wait(answer.json()["job_id"], timeout_s=120)
    assert (end.type, end.trace_id) == ("done", trace_id)
