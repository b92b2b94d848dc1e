"""Encode starts while infer renders; a preview plays before the job is done, and leaves the finished file as it is."""

import io
from typing import Any

import av
import pytest

from shared.local import processes
from tests.encode.c2pa_files import boxes
from tests.pipeline.client import Client
from tests.pipeline.conftest import DELIVERIES, Pipeline, spoken, unseen_portrait, unseen_start
from tests.pipeline.service_metrics import series
from tests.pipeline.test_kills import parent, worker

SECONDS = 8.0
"""At most: the bundled speech ends earlier, as it is cut at a random place."""
BUCKET = "lipstage-deliveries"
LARGE = {"min_resolution": 512}
"""So that a render takes longer than a look at it."""


def early_starts(pipeline: Pipeline) -> dict[str, float]:
    """Outcomes of early starts of the encode service."""
    port = next(s.health_port for s in pipeline.stack.services if s.stage == "encode")
    return {sample.labels["outcome"]: sample.value for sample in series(port, "lipstage_early_starts_total")}


def files(client: Client, **fields: Any) -> tuple[str, str, dict[str, Any]]:
    return client.upload(unseen_portrait()), client.upload(spoken(SECONDS, unseen_start())), fields


def test_encode_starts_while_infer_renders(client: Client, pipeline: Pipeline) -> None:
    before = early_starts(pipeline).get("used", 0.0)
    portrait, speech, _ = files(client)
    job = client.submit(portrait, speech, params=LARGE)
    client.done(job)
    assert early_starts(pipeline).get("used", 0.0) == before + 1
    names = [span["name"] for span in client.spans(job, "render", "encode_video", "run_inference")]
    assert names.count("render") == names.count("encode_video") == 1


def test_preview_plays_before_the_end_and_leaves_the_file_alone(client: Client, pipeline: Pipeline) -> None:
    portrait, speech, _ = files(client)
    output = {"bucket": DELIVERIES, "prefix": "default/films"}
    job = client.submit(portrait, speech, params=LARGE, output={**output, "preview": True})

    def text(key: str) -> bytes | None:
        try:
            answer = client.s3.get_object(Bucket=BUCKET, Key=f"default/films/{job}/{key}")
        except client.s3.exceptions.NoSuchKey:
            return None
        return bytes(answer["Body"].read())

    live: list[bytes] = []

    def playlist() -> bool:
        found = text("index.m3u8")
        if found is not None:
            live.append(found)
        return bool(live) or bool(client.ends(job))

    client.until(playlist, 90)
    assert b"#EXT-X-ENDLIST" not in live[0], "the job is not done"
    segments = [line for line in live[0].decode().splitlines() if line and not line.startswith("#")]
    start = live[0].decode().split('URI="')[1].split('"')[0]
    parts = [text(key) for key in (start, *segments)]
    with av.open(io.BytesIO(b"".join(part or b"" for part in parts))) as file:
        assert sum(1 for _ in file.decode(video=0)) == 50 * len(segments), "every segment plays"
    end = client.done(job)
    ended = (text("index.m3u8") or b"").decode()
    assert ended.endswith("#EXT-X-ENDLIST\n")
    names = [start, *(line for line in ended.splitlines() if line and not line.startswith("#"))]
    stored = {key.split(f"{job}/", 1)[1] for key in keys_of(client, f"default/films/{job}/")}
    assert stored == {"index.m3u8", "video.mp4", "poster.jpg", *names}, "nothing of another attempt"
    with av.open(io.BytesIO(b"".join(text(name) or b"" for name in names))) as file:
        assert sum(1 for _ in file.decode(video=0)) == round(end.body["duration_s"] * 25)
    plain = client.submit(portrait, speech, params=LARGE, output=output)
    client.done(plain)
    other = client.s3.get_object(Bucket=BUCKET, Key=f"default/films/{plain}/video.mp4")["Body"].read()
    # The manifest has random parts, and the metadata name the job.
    assert dict(boxes(other))["mdat"] == dict(boxes(text("video.mp4") or b""))["mdat"]


def test_cancelled_preview_leaves_no_playlist(client: Client, pipeline: Pipeline) -> None:
    portrait, speech, _ = files(client)
    output = {"bucket": DELIVERIES, "prefix": "default/cut", "preview": True}
    job = client.submit(portrait, speech, params=LARGE, output=output)
    client.until(lambda: keys_of(client, f"default/cut/{job}/") or client.ends(job), 90)
    client.produce("render.cancel", b"{}", f"default/{job}")
    client.until(lambda: client.ends(job), 90)
    if client.ends(job)[0].type == "done":
        pytest.skip("the job was faster than its cancel")
    client.until(lambda: not keys_of(client, f"default/cut/{job}/"), 30)


@pytest.mark.parametrize("victim", ["encode service", "encode worker", "infer worker", "infer service"])
def test_kill_during_the_overlap_loses_nothing(client: Client, pipeline: Pipeline, victim: str) -> None:
    portrait, speech, _ = files(client)
    job = client.submit(portrait, speech, params=LARGE)

    def begun() -> bool:
        return any("frames-" in key for key in client.keys(f"jobs/default/{job}/infer/"))

    client.until(lambda: client.ends(job) or begun(), 90)
    if client.ends(job):
        pytest.skip("the job was faster than a look at its frames")
    stage, part = victim.split()
    try:
        process = parent(pipeline, stage, "puppet" if stage == "infer" else "")
        if part == "worker":
            process = worker(pipeline, stage)
        processes.kill(process)
        end = client.done(job, 100)
        with av.open(io.BytesIO(client.video(job))) as file:
            assert sum(1 for _ in file.decode(video=0)) == round(end.body["duration_s"] * 25)
        client.drain()
        assert len({event.id for event in client.ends(job)}) == 1
    finally:
        pipeline.up()


def test_preview_without_a_prefix_is_refused(client: Client) -> None:
    portrait, speech, _ = files(client)
    job = client.submit(portrait, speech, output={"preview": True})
    (end,) = client.wait([job])
    assert (end.type, end.body["code"], end.body["field"]) == ("rejected", "INVALID_REQUEST", "output.bucket")
    assert "output.bucket is required" in end.body["message"]


def keys_of(client: Client, prefix: str) -> list[str]:
    pages = client.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
