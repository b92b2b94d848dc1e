"""Invalid input: each kind has its code, ends in one event, and delays no other job."""

import hashlib
import io
import json
import uuid
import wave
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.messages.headers import DLQ
from shared.messages.identity import request_id
from shared.messages.task import RenderTask
from tests.conftest import ROOT
from tests.face.pictures import encoded, in_profile, many_scans, on_canvas, png_bomb, portrait
from tests.pipeline.client import ARTIFACTS, SMALL, Client, Reader, body
from tests.pipeline.conftest import MAX_PORTRAIT_MB, MAX_SPEECH_S, Pipeline, spoken
from tests.pipeline.test_formats import sound

Expected = tuple[str, str | None]
"""Expected code and field."""
INVALID = "INVALID_REQUEST"
PICTURE = (ROOT / "samples" / "portrait.png").read_bytes()


def picture(image: Image.Image | NDArray[np.uint8]) -> bytes:
    return encoded(image if isinstance(image, Image.Image) else Image.fromarray(image), "PNG")


def tone(seconds: float, level: float = 0.0) -> bytes:
    """A WAV file with a hum; level 0 is silence."""
    rate = 16000
    samples = level * np.sin(2 * np.pi * 150 * np.arange(round(seconds * rate)) / rate)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()


def long_speech() -> bytes:
    """A small file whose speech is longer than the limit."""
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as file:
        stream = file.add_stream("flac", rate=16000, layout="mono")
        for second in range(round(MAX_SPEECH_S) + 2):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, second * 16000
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def portraits() -> dict[str, tuple[bytes, Expected]]:
    flat = Image.new("RGB", (400, 400), (90, 140, 200))
    photo = encoded(portrait(), "JPEG", quality=90)
    return {
        "not an image": (b"this is a text, not a picture" * 20, ("IMAGE_UNREADABLE", "portrait")),
        "truncated png": (PICTURE[: len(PICTURE) // 2], ("IMAGE_UNREADABLE", "portrait")),
        "truncated jpeg": (photo[: len(photo) * 9 // 10], ("IMAGE_UNREADABLE", "portrait")),
        "pixel bomb": (png_bomb(30_000, 30_000), ("IMAGE_TOO_LARGE", "portrait")),
        "scan bomb": (many_scans(7040, 6592, 1000), ("IMAGE_UNREADABLE", "portrait")),
        "too many bytes": (PICTURE + bytes(MAX_PORTRAIT_MB << 20), ("INPUT_TOO_LARGE", "portrait")),
        "too few pixels": (picture(flat.resize((20, 20))), ("IMAGE_TOO_SMALL", "portrait")),
        "no face": (picture(flat), ("NO_FACE", "portrait")),
        "face too small": (picture(on_canvas(300, 300, 150, 50, 50)), ("FACE_TOO_SMALL", "portrait")),
        "face cut by the edge": (picture(portrait().crop((220, 0, 512, 512))), ("FACE_CUT_OFF", "portrait")),
        "profile": (picture(in_profile()), ("EXTREME_POSE", "portrait")),
    }


def speeches() -> dict[str, tuple[bytes, Expected]]:
    mp3 = sound("mp3", "libmp3lame", 44100, "mono", "s16p", seconds=4.0)
    return {
        "not audio": (b"this is a text, not a sound" * 20, ("AUDIO_UNREADABLE", "speech")),
        "truncated wav": (spoken(6.0)[:40_000], ("AUDIO_UNREADABLE", "speech")),
        "truncated mp3": (mp3[: len(mp3) * 3 // 4], ("AUDIO_UNREADABLE", "speech")),
        "zero samples": (tone(0.0), ("AUDIO_EMPTY", "speech")),
        "shorter than 0.2 s": (tone(0.15, 0.3), ("AUDIO_TOO_SHORT", "speech")),
        "longer than the limit": (long_speech(), ("AUDIO_TOO_LONG", "speech")),
    }


# A key is opaque to S3, which has no folders and no symbolic links: a path traversal either is an invalid key or names
# no object. `{}` is replaced by the key of another tenant's picture, which exists.
ELSEWHERE: dict[str, tuple[str, Expected]] = {
    "a URL": ("https://example.com/a.png", (INVALID, "portrait.key")),
    "an S3 URL": ("s3://lipstage-inputs/{}", (INVALID, "portrait.key")),
    "an absolute path": ("/etc/passwd", (INVALID, "portrait.key")),
    "another tenant": ("{}", ("INPUT_FORBIDDEN", "portrait.key")),
    "the tenant's name as a part of another's": ("default2/a.png", ("INPUT_FORBIDDEN", "portrait.key")),
    "a parent folder": ("default/../{}", (INVALID, "portrait.key")),
    "a parent folder at the end": ("default/..", (INVALID, "portrait.key")),
    "a parent folder behind a backslash": ("default\\..\\{}", (INVALID, "portrait.key")),
    "a backslash inside": ("default/..\\{}", (INVALID, "portrait.key")),
    "the folder itself": ("default/./{}", (INVALID, "portrait.key")),
    "the folder itself in front": ("./{}", (INVALID, "portrait.key")),
    "an empty folder": ("default//{}", (INVALID, "portrait.key")),
    "a NUL": ("default/a\0/../{}", (INVALID, "portrait.key")),
    "a line break": ("default/a\n{}", (INVALID, "portrait.key")),
    "encoded dots": ("default/%2e%2e/{}", ("INPUT_NOT_FOUND", "portrait")),
    "encoded twice": ("default/%252e%252e/{}", ("INPUT_NOT_FOUND", "portrait")),
    "an encoded slash": ("default%2f..%2f{}", ("INPUT_FORBIDDEN", "portrait.key")),
    "an encoded slash inside": ("default/..%2f{}", ("INPUT_NOT_FOUND", "portrait")),
    "wide dots": ("default/\uff0e\uff0e/{}", ("INPUT_NOT_FOUND", "portrait")),
    "a query": ("default/a?versionId=null&key={}", ("INPUT_NOT_FOUND", "portrait")),
}


def requests(portrait: str, speech: str, foreign: str) -> dict[str, tuple[bytes, Expected]]:
    """Records with an invalid text, or that name an invalid object."""

    def request(**fields: Any) -> bytes:
        return body(portrait, speech, **fields)

    def at(key: str) -> bytes:
        return request(portrait={"key": key})

    return {
        "malformed JSON": (b'{"portrait": ', (INVALID, None)),
        "not an object": (b"[1, 2]", (INVALID, None)),
        "empty": (b"", (INVALID, None)),
        "wrong type": (request(params={"inference_steps": "many"}), (INVALID, "params.inference_steps")),
        "unknown field": (request(portait={}), (INVALID, "portait")),
        "unknown inner field": (request(params={"steps": 3}), (INVALID, "params.steps")),
        "missing field": (b'{"portrait": {"key": "default/a"}}', (INVALID, "speech")),
        "out of range": (request(params={"dynamic_scale": 9.0}), (INVALID, "params.dynamic_scale")),
        "NaN": (request(params={"expand_ratio": float("nan")}), (INVALID, "params.expand_ratio")),
        "twice": (b'{"tenant": "a", "tenant": "a", ' + request()[1:], (INVALID, "tenant")),
        "other engine": (request(engine="sonic"), ("ENGINE_UNAVAILABLE", "engine")),
        "missing object": (at("default/nothing/here"), ("INPUT_NOT_FOUND", "portrait")),
        "unknown bucket": (request(portrait={"bucket": "secrets", "key": portrait}), ("INPUT_FORBIDDEN", "portrait")),
        "unknown output": (request(output={"bucket": "nowhere", "prefix": "default/x"}),
                           ("INPUT_FORBIDDEN", "output.bucket")),
        "wrong size": (request(speech={"key": speech, "size": 5}), ("INPUT_DIGEST_MISMATCH", "speech")),
        "wrong digest of the speech": (request(speech={"key": speech, "sha256": hashlib.sha256(b"x").hexdigest()}),
                                       ("INPUT_DIGEST_MISMATCH", "speech")),
        "wrong digest of the portrait": (request(portrait={"key": portrait, "sha256": "0" * 64}),
                                         ("INPUT_DIGEST_MISMATCH", "portrait")),
        "over 64 KiB": (request(labels={"a": "x" * 70_000}), ("MESSAGE_TOO_LARGE", None)),
        **{name: (at(key.format(foreign)), expected) for name, (key, expected) in ELSEWHERE.items()},
    }  # fmt: skip


NAMES = [*requests("", "", ""), *portraits(), *speeches()]
ALLOWED = {
    "out of range": "0.5 to 2",
    "NaN": "0 to 1",
    "too many bytes": f"at most {MAX_PORTRAIT_MB << 20} bytes",
    "another tenant": "keys that start with default/",
    "longer than the limit": f"0.2..{MAX_SPEECH_S:g} s",
    "pixel bomb": "at most 65 megapixels",
}


@pytest.fixture(scope="module")
def refused(client: Client, portrait: str) -> dict[str, tuple[str, Expected]]:
    """All invalid requests at once, then a valid one behind them; job and expectation by name."""
    speech = client.upload(spoken(0.4, 2.0))
    cases = {}
    for name, (value, expected) in requests(portrait, speech, client.upload(PICTURE, "other")).items():
        job = uuid.uuid4().hex
        client.produce("render.requests", value, job)
        cases[name] = (job, expected)
    for name, (data, expected) in portraits().items():
        cases[name] = (client.submit(client.upload(data), speech), expected)
    for name, (data, expected) in speeches().items():
        cases[name] = (client.submit(portrait, client.upload(data)), expected)
    good = client.submit(portrait, speech)
    client.done(good)
    client.wait([job for job, _ in cases.values()], 60)
    client.drain()
    return cases


@pytest.mark.parametrize("name", NAMES)
def test_job_is_rejected_once_with_its_code_and_field(
    client: Client, refused: dict[str, tuple[str, Expected]], name: str
) -> None:
    job, (code, field) = refused[name]
    (end,) = client.ends(job)
    assert (end.type, end.body["code"]) == ("rejected", code), end.body
    if field is not None:
        assert end.body["field"] == field, end.body
    assert end.body["message"].endswith((".", "?"))
    if name in ALLOWED:
        assert end.body["allowed"] == ALLOWED[name]


def test_portrait_of_the_other_tenant_exists(client: Client) -> None:
    """The picture exists: its keys are refused, not the object."""
    key = client.upload(PICTURE, "other")
    end = client.done(client.submit(key, client.upload(spoken(0.4, 2.0), "other"), tenant="other"))
    assert end.body["tenant"] == "other"


def test_key_that_differs_from_the_job_id_ends_neither_job(client: Client, portrait: str) -> None:
    """The rejection has the record's own id: it must end neither job."""
    named, keyed = uuid.uuid4().hex, uuid.uuid4().hex
    value = body(portrait, portrait, job_id=named)
    at = client.produce("render.requests", value, keyed)
    job = request_id("render.requests", *at, value)
    (end,) = client.wait([job], 30)
    assert (end.type, end.body["code"]) == ("rejected", "KEY_MISMATCH")
    client.drain()
    assert not client.events[named]
    assert not client.events[keyed]


def test_silence_is_rendered_with_a_warning(client: Client, portrait: str) -> None:
    job = client.submit(portrait, client.upload(tone(0.6)))
    end = client.done(job)
    assert [w["code"] for w in end.body["warnings"]] == ["SILENT_AUDIO", "NO_SPEECH"]
    assert [e.body["code"] for e in client.events[job] if e.type == "warning"] == ["SILENT_AUDIO", "NO_SPEECH"]


@pytest.fixture
def dead_letters(pipeline: Pipeline) -> Iterator[Reader]:
    reader = Reader(pipeline.stack.bootstrap_servers, "render.dlq")
    yield reader
    reader.close()


def task(client: Client, portrait: str) -> RenderTask:
    """A task for the face stage of a new job, with the artifacts of a finished job."""
    job = client.submit(portrait, client.upload(spoken(0.4, 3.0)))
    client.done(job)
    markers = {}
    for stage in ("audio", "face"):
        key = f"jobs/default/{job}/{stage}.json"
        markers[stage] = json.loads(client.s3.get_object(Bucket=ARTIFACTS, Key=key)["Body"].read())
    new = uuid.uuid4().hex
    return RenderTask.model_validate(
        {"job_id": new, "request_id": str(uuid.uuid4()), "submitted_ms": 1,
         "request": {"portrait": {"key": portrait}, "speech": {"key": portrait}, "params": SMALL},
         "outputs": markers},
    )  # fmt: skip


def check_dead_letter(
    dead_letters: Reader, key: bytes, value: bytes, headers: list[tuple[str, bytes]], code: str
) -> None:
    message = None
    for _ in range(60):
        message = dead_letters.poll(0.5)
        if message is not None:
            break
    assert message is not None
    assert (message.key(), message.value()) == (key, value), "byte for byte"
    got = list(message.headers())
    assert got[: len(headers)] == headers
    added = dict(got[len(headers) :])
    assert all(name.startswith(DLQ) for name in added)
    assert added[f"{DLQ}code"].decode() == code
    assert len([name for name, _ in got if name == "traceparent"]) <= 1


def test_unreadable_task_becomes_a_dead_letter_and_the_partition_continues(
    client: Client, portrait: str, dead_letters: Reader
) -> None:
    value, headers = b"\xff\xfe no task at all \x00", [("a", b"\x00\xff"), ("b", b""), ("a", b"again")]
    partition, offset = client.produce("render.face", value, b"\xffkey", headers, partition=3)
    check_dead_letter(dead_letters, b"\xffkey", value, headers, "POISON")
    good = task(client, portrait)
    good = good.model_copy(update={"outputs": {"audio": good.outputs["audio"]}})
    behind = client.produce("render.face", good.dump(), good.job_id, partition=partition)
    assert behind[0] == partition
    assert behind[1] > offset
    client.done(good.job_id)


@pytest.mark.parametrize(("change", "code"), [("altered", "ARTIFACT_ALTERED"), ("missing", "ARTIFACT_MISSING")])
def test_task_with_a_wrong_artifact_becomes_a_dead_letter(
    client: Client, portrait: str, dead_letters: Reader, change: str, code: str
) -> None:
    order = task(client, portrait)
    pcm = order.outputs["audio"].artifacts["pcm"]
    key = f"jobs/default/{order.job_id}/audio/x/pcm"
    if change == "altered":
        client.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=b"\x01" * pcm.size)
    audio = order.outputs["audio"]
    audio = audio.model_copy(update={"artifacts": {**audio.artifacts, "pcm": pcm.model_copy(update={"key": key})}})
    order = order.with_output("audio", audio)
    headers = [("origin", b"test")]
    client.produce("render.infer.puppet", order.dump(), order.job_id, headers, partition=5)
    check_dead_letter(dead_letters, order.job_id.encode(), order.dump(), headers, code)
    (end,) = client.wait([order.job_id], 30)
    assert (end.type, end.body["code"]) == ("failed", code)
    good = task(client, portrait)
    client.produce("render.infer.puppet", good.dump(), good.job_id, partition=5)
    client.done(good.job_id)
