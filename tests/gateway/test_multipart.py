"""Forms with files, without a broker: what is refused, and that nothing is left of an upload."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from tests.gateway.app_harness import Harness, harness

MIB = 1 << 20
PNG = b"\x89PNG not a picture"
WAV = b"RIFF not a recording" * 100
FILES = {"portrait": ("p.png", PNG), "speech": ("s.wav", WAV)}


@pytest.fixture
def app(tmp_path: Path) -> Harness:
    return harness(tmp_path)


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["code"], body["status"]) == (code, status)
    return body


def test_files_and_fields_of_a_form_are_submitted_and_then_deleted(app: Harness) -> None:
    request = {"request": json.dumps({"params": {"seed": 7}, "labels": {"for": "me"}})}
    answer = app.post("/v1/renders", files=FILES, data=request)
    assert answer.status_code == 202
    (spec,) = app.recorder.specs
    assert spec.fields["params"] == {"seed": 7}
    assert spec.fields["labels"] == {"for": "me"}
    digests = {"portrait": hashlib.sha256(PNG).hexdigest(), "speech": hashlib.sha256(WAV).hexdigest()}
    assert app.recorder.digests == [digests]
    assert answer.json()["job_id"] == spec.job_id
    assert answer.headers["location"] == f"/v1/renders/{spec.job_id}"
    assert not any(path.exists() for path in app.recorder.paths)
    assert app.left == []


def test_the_name_of_a_file_is_not_used(app: Harness) -> None:
    evil = {"portrait": ("../../evil", PNG), "speech": ("/etc/passwd", WAV)}
    assert app.post("/v1/renders", files=evil).status_code == 202
    assert {path.name for path in app.recorder.paths} == {"part-0", "part-1"}


def test_an_object_may_stand_beside_a_file(app: Harness) -> None:
    request = {"request": json.dumps({"speech": {"key": "default/s.wav"}})}
    assert app.post("/v1/renders", files={"portrait": ("p", PNG)}, data=request).status_code == 202
    (spec,) = app.recorder.specs
    assert isinstance(spec.portrait, Path)
    assert not isinstance(spec.speech, Path)


def test_the_same_idempotency_key_names_the_same_job(app: Harness) -> None:
    for _ in range(2):
        assert app.post("/v1/renders", files=FILES, headers={"idempotency-key": "one"}).status_code == 202
    first, second = app.recorder.specs
    assert first.job_id == second.job_id


@pytest.mark.parametrize(
    ("files", "status", "code", "field"),
    [
        ([("portrait", ("p", PNG))], 422, "INVALID_REQUEST", "speech"),
        ([("portrait", ("p", b"")), ("speech", ("s", WAV))], 422, "INVALID_REQUEST", "portrait"),
        ([("portrait", ("p", PNG)), ("portrait", ("p", PNG))], 422, "INVALID_REQUEST", "portrait"),
        ([("portrait", ("p", PNG)), ("sound", ("s", WAV))], 422, "INVALID_REQUEST", "sound"),
        ([("portrait", ("p", b"x" * (MIB + 1))), ("speech", ("s", WAV))], 413, "INPUT_TOO_LARGE", "portrait"),
        ([("portrait", ("p", PNG)), ("speech", ("s", b"x" * (2 * MIB + 1)))], 413, "INPUT_TOO_LARGE", "speech"),
        ([("request", (None, b"x" * 70_000))], 413, "MESSAGE_TOO_LARGE", "request"),
        ([("request", (None, b"\xff\xfe"))], 422, "INVALID_REQUEST", "request"),
        ([("request", (None, b"{"))], 400, "INVALID_REQUEST", "request"),
        ([("request", (None, b"[]"))], 400, "INVALID_REQUEST", "request"),
        ([*FILES.items(), ("request", (None, b'{"portrait": {"key": "a"}}'))], 422, "INVALID_REQUEST", "portrait"),
        ([*FILES.items(), ("request", (None, b'{"params": {"seed": -1}}'))], 422, "INVALID_REQUEST", "params.seed"),
        ([*FILES.items(), ("request", (None, b'{"tenant": "other"}'))], 403, "TENANT_FORBIDDEN", "tenant"),
    ],
)  # fmt: skip
def test_a_bad_part_is_named(app: Harness, files: Any, status: int, code: str, field: str) -> None:
    body = problem(app.post("/v1/renders", files=files), status, code)
    assert body["field"] == field
    assert app.recorder.specs == []
    assert app.left == []


def test_limits_are_exact(app: Harness) -> None:
    files = {"portrait": ("p", b"x" * MIB), "speech": ("s", b"x" * (2 * MIB))}
    assert app.post("/v1/renders", files=files).status_code == 202


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary at all"),
        ("multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: form-data; name=portrait\r\n\r\ncut off"),
        ("multipart/form-data; boundary=b", b"--b\r\ncontent-disposition: attachment\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        ("multipart/form-data; boundary=b", b""),
    ],
)
def test_what_is_no_form_is_refused(app: Harness, header: str, content: bytes) -> None:
    problem(app.post("/v1/renders", content=content, headers={"content-type": header}), 400, "INVALID_REQUEST")
    assert app.left == []


def test_uploads_over_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    app = harness(tmp_path, max_uploads=1)

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        begun, refused = asyncio.Event(), asyncio.Event()
        form = httpx.Request("POST", "http://localhost", files=FILES)
        body = form.read()

        async def slow() -> AsyncIterator[bytes]:
            yield body[:50]
            begun.set()
            await refused.wait()
            yield body[50:]

        async with app.client() as client:
            headers = {"content-type": form.headers["content-type"]}
            first = asyncio.create_task(client.post("/v1/renders", content=slow(), headers=headers))
            await begun.wait()
            while not app.left:
                await asyncio.sleep(0)
            second = await client.post("/v1/renders", files=FILES)
            assert REGISTRY.get_sample_value("lipstage_gateway_uploads") == 1
            refused.set()
            return await first, second

    first, second = asyncio.run(ask())
    assert first.status_code == 202
    problem(second, 503, "TOO_MANY_UPLOADS")
    assert int(second.headers["retry-after"]) > 0
    assert app.left == []
    assert REGISTRY.get_sample_value("lipstage_gateway_uploads") == 0


def test_an_upload_that_stops_is_ended(tmp_path: Path) -> None:
    app = harness(tmp_path, upload_idle_s=1)

    async def ask() -> httpx.Response:
        async def stops() -> AsyncIterator[bytes]:
            yield b'--b\r\ncontent-disposition: form-data; name="speech"\r\n\r\nsome'
            await asyncio.Event().wait()

        async with app.client() as client:
            headers = {"content-type": "multipart/form-data; boundary=b"}
            return await client.post("/v1/renders", content=stops(), headers=headers)

    answer = asyncio.run(ask())
    assert problem(answer, 408, "REQUEST_TIMEOUT")["field"] == "speech"
    assert answer.headers["connection"] == "close"
    assert app.left == []


def test_the_form_of_the_origin_becomes_our_request(app: Harness) -> None:
    files = {"portrait_image": ("p", PNG), "prompt.audio_clip": ("s", WAV)}
    given = {"duration": "1.5", "inference_steps": "30", "min_resolution": "256", "request": '{"labels": {"a": "b"}}'}
    assert app.post("/generate", files=files, data=given).status_code == 202
    (spec,) = app.recorder.specs
    assert spec.fields["params"] == {"duration": 1.5, "inference_steps": 30, "min_resolution": 256}
    assert spec.fields["labels"] == {"a": "b"}


def test_references_of_the_origin_become_ours(app: Harness) -> None:
    body = {
        "prompt": {"audio_clip": {"key": "default/s.wav", "size": 3}},
        "portrait_image": "default/p.png",
        "dynamic_scale": 1.5,
        "expand_ratio": 0.3,
    }
    assert app.post("/generate", json=body).status_code == 202
    (spec,) = app.recorder.specs
    assert spec.fields["params"] == {"dynamic_scale": 1.5, "expand_ratio": 0.3}
    assert (getattr(spec.portrait, "key", ""), getattr(spec.speech, "size", 0)) == ("default/p.png", 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"inference_steps": 500}, "inference_steps"),
        ({"portrait_image": None}, "portrait_image"),
        ({"portrait_image": "other/p.png"}, "portrait_image.key"),
        ({"prompt": None}, "prompt.audio_clip"),
        ({"prompt": {}}, "prompt.audio_clip"),
        ({"prompt": "words"}, "prompt"),
        ({"prompt": {"audio_clip": "default/s", "text": "hello"}}, "prompt.text"),
        ({"params": {}}, "params"),
        ({"speed": 2}, "speed"),
    ],
)
def test_errors_have_the_names_of_the_origin(app: Harness, change: dict[str, Any], field: str) -> None:
    body = {"prompt": {"audio_clip": "default/s.wav"}, "portrait_image": "default/p.png"} | change
    answer = app.post("/generate", json=body)
    assert answer.status_code in (403, 422)
    assert answer.json()["field"] == field
    assert app.recorder.specs == []
