"""Videos, posters and previews over HTTP: ranges, redirects, and what becomes of a purged or altered file."""

import hashlib
import os
import uuid
from collections.abc import Iterator

import httpx
import pytest

from shared.client.connection import Connection
from shared.messages.refs import InputRef, OutputRef
from shared.storage import keys, markers
from shared.storage.markers import RequestRecord
from tests.client.services import Services
from tests.gateway.conftest import problem

CONTENT = os.urandom(700_000)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


def job_id() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def done(services: Services) -> str:
    job = job_id()
    services.done(job, CONTENT, tenant="acme")
    return f"/v1/renders/{job}"


def test_a_video_is_sent_whole(acme: httpx.Client, done: str) -> None:
    answer = acme.get(f"{done}/video")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = answer.headers
    assert (headers["content-type"], headers["etag"], headers["accept-ranges"]) == ("video/mp4", ETAG, "bytes")
    assert headers["content-length"] == str(len(CONTENT))
    assert "content-disposition" not in headers
    saved = acme.get(f"{done}/video", params={"download": True})
    assert saved.headers["content-disposition"] == f'attachment; filename="{done.rpartition("/")[2]}.mp4"'
    poster = acme.get(f"{done}/poster")
    assert (poster.content, poster.headers["content-type"]) == (b"jpg", "image/jpeg")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=699990-", 699_990, 699_999), ("bytes=-10", 699_990, 699_999)],
)
def test_a_part_of_a_video_is_sent(acme: httpx.Client, done: str, asked: str, first: int, last: int) -> None:
    answer = acme.get(f"{done}/video", headers={"range": asked, "if-range": ETAG})
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"


def test_conditions_are_kept(acme: httpx.Client, done: str) -> None:
    assert acme.get(f"{done}/video", headers={"if-none-match": ETAG}).status_code == 304
    whole = acme.get(f"{done}/video", headers={"range": "bytes=0-9", "if-range": '"another"'})
    assert (whole.status_code, len(whole.content)) == (200, len(CONTENT))
    refused = acme.get(f"{done}/video", headers={"range": f"bytes={len(CONTENT)}-"})
    problem(refused, 416, "RANGE_NOT_SATISFIABLE")
    assert refused.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_the_head_of_a_video_is_asked_for(acme: httpx.Client, done: str) -> None:
    head = acme.head(f"{done}/video")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    part = acme.head(f"{done}/video", headers={"range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")


def test_a_client_is_redirected_to_the_object_store(acme: httpx.Client, done: str) -> None:
    given = {"delivery": "redirect", "download": "true"}
    answer = acme.get(f"{done}/video", params=given, follow_redirects=False)
    assert answer.status_code == 307
    direct = httpx.get(answer.headers["location"], timeout=60, trust_env=False)
    assert (direct.status_code, direct.content) == (200, CONTENT)
    assert direct.headers["content-type"] == "video/mp4"
    assert direct.headers["content-disposition"].startswith("attachment")
    head = acme.head(f"{done}/video", params={"delivery": "redirect"}, follow_redirects=False)
    assert httpx.head(head.headers["location"], timeout=60, trust_env=False).status_code == 200


def test_a_render_without_a_video_says_why(acme: httpx.Client, services: Services) -> None:
    running, refused = job_id(), job_id()
    services.event("accepted", running, tenant="acme", engine="puppet")
    services.event("rejected", refused, tenant="acme", stage="face", code="NO_FACE", message="There is no face.")
    problem(acme.get(f"/v1/renders/{running}/video"), 409, "JOB_NOT_FINISHED")
    body = problem(acme.get(f"/v1/renders/{refused}/video"), 409, "JOB_WITHOUT_RESULT")
    assert body["details"] == ["NO_FACE: There is no face."]
    problem(acme.get(f"/v1/renders/{job_id()}/video"), 404, "JOB_NOT_FOUND")


def test_a_purged_video_is_gone(acme: httpx.Client, done: str) -> None:
    assert acme.delete(done).status_code == 200
    for path in ("video", "poster"):
        problem(acme.get(f"{done}/{path}"), 410, "JOB_PURGED")


def test_an_altered_video_is_never_sent_whole(acme: httpx.Client, quiet: Connection, services: Services) -> None:
    job = job_id()
    key = services.done(job, CONTENT, tenant="acme")["video"]["key"]
    bucket = quiet.storage_settings.bucket
    quiet.s3.put_object(Bucket=bucket, Key=key, Body=CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(httpx.RemoteProtocolError):
        acme.get(f"/v1/renders/{job}/video")
    quiet.s3.put_object(Bucket=bucket, Key=key, Body=b"short")
    problem(acme.get(f"/v1/renders/{job}/video"), 410, "ARTIFACT_ALTERED")
    quiet.s3.delete_object(Bucket=bucket, Key=key)
    problem(acme.get(f"/v1/renders/{job}/video"), 410, "ARTIFACT_MISSING")


@pytest.fixture
def previewed(quiet: Connection) -> Iterator[str]:
    """A job whose preview is published in the artifact bucket's place: the bucket that the gateway may read."""
    job = job_id()
    output = OutputRef(bucket="artifacts", prefix="acme/films", preview=True)
    inputs = (InputRef(key="acme/p"), InputRef(key="acme/s"))
    record = RequestRecord(request_id="r", body_sha256="0" * 64, inputs=inputs, output=output)
    markers.claim_request(quiet.documents, "acme", job, record)
    folder = keys.output_folder("acme", "acme/films", job)
    for name, content in (
        ("index.m3u8", b"#EXTM3U"),
        ("preview/a1/init.mp4", b"init"),
        ("preview/a1/00000.mp4", b"seg"),
    ):
        quiet.s3.put_object(Bucket=quiet.storage_settings.bucket, Key=folder + name, Body=content)
    yield f"/v1/renders/{job}/preview"


def test_a_preview_is_shown_while_it_grows(acme: httpx.Client, previewed: str) -> None:
    playlist = acme.get(f"{previewed}/index.m3u8")
    assert (playlist.content, playlist.headers["cache-control"]) == (b"#EXTM3U", "no-store")
    assert acme.get(f"{previewed}/preview/a1/init.mp4").content == b"init"
    assert acme.get(f"{previewed}/preview/a1/00000.mp4").headers["content-type"] == "video/mp4"
    problem(acme.get(f"{previewed}/preview/a1/00001.mp4"), 404, "PREVIEW_NOT_FOUND")


@pytest.mark.parametrize("name", ["video.mp4", "preview/../video.mp4", "preview/a1/x.mp4", "preview/%2e%2e/00000.mp4"])
def test_nothing_else_is_read_by_the_name_of_a_segment(acme: httpx.Client, previewed: str, name: str) -> None:
    problem(acme.get(f"{previewed}/{name}"), 404, "PREVIEW_NOT_FOUND")


def test_a_render_without_a_preview_says_so(acme: httpx.Client, done: str) -> None:
    problem(acme.get(f"{done}/preview/index.m3u8"), 404, "PREVIEW_NOT_FOUND")
