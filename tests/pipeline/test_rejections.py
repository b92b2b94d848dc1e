"""Bad input: each kind has its code, ends in one event, and holds nobody up."""

import hashlib
import io
import json
import struct
import uuid
import wave
import zlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from shared.messages.headers import DLQ
from shared.messages.identity import request_id
from shared.messages.task import RenderTask
from tests.conftest import ROOT
from tests.pipeline.client import ARTIFACTS, SMALL, Client, Reader, body
from tests.pipeline.conftest import MAX_SPEECH_S, Pipeline, spoken

Expected = tuple[str, str | None]
INVALID = "INVALID_REQUEST"
PICTURE = (ROOT / "samples" / "portrait.png").read_bytes()


def picture(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def tone(seconds: float, level: float = 0.0) -> bytes:
    """A WAV file of a hum; level 0 is silence."""
    rate = 16000
    wanted = level * np.sin(2 * np.pi * 150 * np.arange(round(seconds * rate)) / rate)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((wanted * 32767).astype("<i2").tobytes())
    return out.getvalue()


def long_speech() -> bytes:
    """More than the limit in a small file."""
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as file:
        stream = file.add_stream("flac", rate=16000, layout="mono")
        for second in range(round(MAX_SPEECH_S) + 2):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, second * 16000
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def bomb() -> bytes:
    """A PNG whose header promises 900 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiny_face() -> bytes:
    canvas = Image.new("RGB", (900, 900), (120, 130, 140))
    with Image.open(io.BytesIO(PICTURE)) as image:
        canvas.paste(image.convert("RGB").resize((60, 60)), (420, 420))
    return picture(canvas)


def portraits() -> dict[str, tuple[bytes, Expected | tuple[set[str], str]]]:
    flat = Image.new("RGB", (400, 400), (90, 140, 200))
    return {
        "not an image": (b"this is a text, not a picture" * 20, ("IMAGE_UNREADABLE", "portrait")),
        "truncated image": (PICTURE[: len(PICTURE) // 2], ("IMAGE_UNREADABLE", "portrait")),
        "pixel bomb": (bomb(), ("IMAGE_TOO_LARGE", "portrait")),
        "no face": (picture(flat), ("NO_FACE", "portrait")),
        "too few pixels": (picture(flat.resize((20, 20))), ("IMAGE_TOO_SMALL", "portrait")),
        "face too small": (tiny_face(), ({"FACE_TOO_SMALL", "NO_FACE"}, "portrait")),
    }


def speeches() -> dict[str, tuple[bytes, Expected | tuple[set[str], str]]]:
    return {
        "not audio": (b"this is a text, not a sound" * 20, ("AUDIO_UNREADABLE", "speech")),
        "truncated audio": (spoken(6.0)[:40_000], ("AUDIO_UNREADABLE", "speech")),
        "zero samples": (tone(0.0), ("AUDIO_EMPTY", "speech")),
        "shorter than 0.2 s": (tone(0.15, 0.3), ("AUDIO_TOO_SHORT", "speech")),
        "longer than the limit": (long_speech(), ("AUDIO_TOO_LONG", "speech")),
    }


def requests(portrait: str, speech: str) -> dict[str, tuple[bytes, Expected | tuple[set[str], str]]]:
    """Records whose text alone is at fault, or the object it names."""

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
        "NaN": (request(params={"expand_ratio": float("nan")}), (INVALID, None)),
        "twice": (b'{"tenant": "a", "tenant": "a", ' + request()[1:], (INVALID, "tenant")),
        "other engine": (request(engine="sonic"), ("ENGINE_UNAVAILABLE", "engine")),
        "missing object": (at("default/nothing/here"), ("INPUT_NOT_FOUND", "portrait")),
        "a URL": (at("https://example.com/a.png"), ({INVALID, "INPUT_FORBIDDEN"}, "portrait.key")),
        "a parent folder": (at("default/../other/a.png"), ({INVALID, "INPUT_FORBIDDEN"}, "portrait.key")),
        "an absolute path": (at("/etc/passwd"), ({INVALID, "INPUT_FORBIDDEN"}, "portrait.key")),
        "another tenant": (at("other/a.png"), ("INPUT_FORBIDDEN", "portrait.key")),
        "unknown bucket": (request(portrait={"bucket": "secrets", "key": portrait}), ("INPUT_FORBIDDEN", "portrait")),
        "unknown output": (request(output={"bucket": "nowhere", "prefix": "default/x"}),
                           ("INPUT_FORBIDDEN", "output.bucket")),
        "wrong size": (request(speech={"key": speech, "size": 5}), ("INPUT_DIGEST_MISMATCH", "speech")),
        "wrong digest": (request(speech={"key": speech, "sha256": hashlib.sha256(b"x").hexdigest()}),
                         ("INPUT_DIGEST_MISMATCH", "speech")),
        "over 64 KiB": (request(labels={"a": "x" * 70_000}), ("MESSAGE_TOO_LARGE", None)),
    }  # fmt: skip


NAMES = [*requests("", ""), *portraits(), *speeches()]


@pytest.fixture(scope="module")
def refused(client: Client, portrait: str) -> dict[str, tuple[str, Expected | tuple[set[str], str]]]:
    """All bad requests at once, then a good one behind them; job and expectation by name."""
    speech = client.upload(spoken(0.4, 2.0))
    found = {}
    for name, (value, expected) in requests(portrait, speech).items():
        job = uuid.uuid4().hex
        client.produce("render.requests", value, job)
        found[name] = (job, expected)
    for name, (data, expected) in portraits().items():
        found[name] = (client.submit(client.upload(data), speech), expected)
    for name, (data, expected) in speeches().items():
        found[name] = (client.submit(portrait, client.upload(data)), expected)
    good = client.submit(portrait, speech)
    client.done(good)
    client.wait([job for job, _ in found.values()], 60)
    client.drain()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_is_rejected_once_with_its_code_and_field(client: Client, refused: dict[str, Any], name: str) -> None:
    job, (codes, field) = refused[name]
    (end,) = client.ends(job)
    assert end.type == "rejected", end.body
    assert end.body["code"] in ({codes} if isinstance(codes, str) else codes), end.body
    if field is not None:
        assert end.body["field"] == field, end.body
    assert end.body["message"].endswith((".", "?"))


def test_what_is_out_of_range_is_told_the_range(client: Client, refused: dict[str, Any]) -> None:
    (end,) = client.ends(refused["out of range"][0])
    assert "0.5" in end.body["allowed"]
    assert "2" in end.body["allowed"]


def test_a_key_that_differs_from_the_id_ends_neither_job(client: Client, portrait: str) -> None:
    """The refusal is under the record's own id: it must not end a job of either name."""
    named, keyed = uuid.uuid4().hex, uuid.uuid4().hex
    at = client.produce("render.requests", body(portrait, portrait, job_id=named), keyed)
    job = request_id("render.requests", *at)
    (end,) = client.wait([job], 30)
    assert (end.type, end.body["code"]) == ("rejected", "KEY_MISMATCH")
    client.drain()
    assert not client.events[named]
    assert not client.events[keyed]


def test_silence_is_rendered_with_a_warning(client: Client, portrait: str) -> None:
    job = client.submit(portrait, client.upload(tone(0.6)))
    end = client.done(job)
    assert [w["code"] for w in end.body["warnings"]] == ["SILENT_AUDIO"]
    assert [e.body["code"] for e in client.events[job] if e.type == "warning"] == ["SILENT_AUDIO"]


@pytest.fixture
def letters(pipeline: Pipeline) -> Iterator[Reader]:
    reader = Reader(pipeline.stack.bootstrap_servers, "render.dlq")
    yield reader
    reader.close()


def task(client: Client, portrait: str) -> RenderTask:
    """An internal message as the face stage gets it, for a new job, with artifacts that a finished job has."""
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
         "products": markers},
    )  # fmt: skip


def check_letter(letters: Reader, key: bytes, value: bytes, headers: list[tuple[str, bytes]], code: str) -> None:
    found = None
    for _ in range(60):
        found = letters.poll(0.5)
        if found is not None:
            break
    assert found is not None
    assert (found.key(), found.value()) == (key, value), "byte for byte"
    got = list(found.headers())
    assert got[: len(headers)] == headers
    ours = dict(got[len(headers) :])
    assert all(name.startswith(DLQ) for name in ours)
    assert ours[f"{DLQ}code"].decode() == code
    assert len([name for name, _ in got if name == "traceparent"]) <= 1


def test_an_unreadable_task_becomes_a_dead_letter_and_the_partition_goes_on(
    client: Client, portrait: str, letters: Reader
) -> None:
    value, headers = b"\xff\xfe no task at all \x00", [("a", b"\x00\xff"), ("b", b""), ("a", b"again")]
    partition, offset = client.produce("render.face", value, b"\xffkey", headers, partition=3)
    check_letter(letters, b"\xffkey", value, headers, "POISON")
    good = task(client, portrait)
    good = good.model_copy(update={"products": {"audio": good.products["audio"]}})
    assert client.produce("render.face", good.dump(), good.job_id, partition=partition) == (3, offset + 1)
    client.done(good.job_id)


@pytest.mark.parametrize(("change", "code"), [("altered", "ARTIFACT_ALTERED"), ("missing", "ARTIFACT_MISSING")])
def test_a_task_whose_artifact_is_wrong_becomes_a_dead_letter(
    client: Client, portrait: str, letters: Reader, change: str, code: str
) -> None:
    order = task(client, portrait)
    pcm = order.products["audio"].artifacts["pcm"]
    key = f"jobs/default/{order.job_id}/audio/x/pcm"
    if change == "altered":
        client.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=b"\x01" * pcm.size)
    audio = order.products["audio"]
    audio = audio.model_copy(update={"artifacts": {**audio.artifacts, "pcm": pcm.model_copy(update={"key": key})}})
    order = order.with_product("audio", audio)
    headers = [("origin", b"test")]
    client.produce("render.infer.puppet", order.dump(), order.job_id, headers, partition=5)
    check_letter(letters, order.job_id.encode(), order.dump(), headers, code)
    (end,) = client.wait([order.job_id], 30)
    assert (end.type, end.body["code"]) == ("failed", code)
    good = task(client, portrait)
    client.produce("render.infer.puppet", good.dump(), good.job_id, partition=5)
    client.done(good.job_id)
