"""No word of a user leaves the services: tokens in every input, searched for in everything that the services write.

Events are sent to the user, and repeat four things: the labels in their field of that name, because a client sets them
to find its jobs; the reference to a consent in its field, for the audit; in a ``rejected`` event the key of the input,
or the name of the unknown field, that has to be corrected; and in their headers the sender's ``tracestate``, which W3C
Trace Context has every system pass on.
"""

import io
import json
import os
import sqlite3
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.local.credentials import FILE as SECRETS
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.headers import DLQ
from shared.messages.task import RenderTask
from stages.infer import STAGE as INFER
from tests.conftest import ROOT
from tests.pipeline.client import INPUTS, Client, Event, Reader, body
from tests.pipeline.conftest import Pipeline, spoken, unseen_start

PLACES = (
    "key",
    "filename",
    "owner",
    "consent",
    "label",
    "labelname",
    "exif",
    "png",
    "id3",
    "header",
    "baggage",
    "text",
    "cause",
)
TOKENS = {place: f"canary{place}{uuid.uuid4().hex[:10]}" for place in PLACES}
"""One unique word for each place. None looks like a path, a digest or an address: only the policies can stop it."""
ANYWHERE = tuple(token for place, token in TOKENS.items() if not place.startswith(("label", "consent")))
OF_KEY = f"Ann's {TOKENS['key']} wedding"
"""Folder of an object's key: its words are neither a path each, nor between quotation marks that belong together."""
CARRIERS = ("spans", "logs", "metrics", "events", "dead letter headers")


def portrait() -> bytes:
    """The bundled portrait with words in its EXIF data."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x013B], exif[0x010E] = TOKENS["exif"], f"portrait of {TOKENS['exif']}"
    with Image.open(ROOT / "samples" / "portrait.png") as image:
        picture = image.convert("RGB")
        picture.putpixel((0, 0), tuple(os.urandom(3)))
        picture.save(out, "JPEG", quality=92, exif=exif, comment=TOKENS["exif"].encode())
    return out.getvalue()


def broken_portrait() -> bytes:
    """A picture with words in its text chunks that can't be decoded."""
    info, out = PngInfo(), io.BytesIO()
    info.add_text("Author", TOKENS["png"])
    Image.effect_noise((400, 400), 50).save(out, "PNG", pnginfo=info)
    return out.getvalue()[:-2000]


def speech() -> bytes:
    """An MP3 file with words in its ID3 tags."""
    out = io.BytesIO()
    with av.open(io.BytesIO(spoken(0.4, unseen_start()))) as source, av.open(out, "w", format="mp3") as target:
        target.metadata.update(title=TOKENS["id3"], artist=TOKENS["id3"], comment=f"of {TOKENS['id3']}")
        stream = target.add_stream("libmp3lame", rate=44100)
        resampler = av.AudioResampler(stream.format, stream.layout, stream.rate, stream.frame_size or 1152)
        for frame in [*source.decode(audio=0), None]:
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


def upload(client: Client, data: bytes, name: str) -> str:
    """An input whose key and file name are words of the user."""
    key = f"default/{OF_KEY}/{TOKENS['filename']}-{uuid.uuid4().hex}.{name}"
    client.s3.put_object(Bucket=INPUTS, Key=key, Body=data, Metadata={"owner": TOKENS["owner"]})
    return key


def of_user() -> dict[str, Any]:
    """Fields of a request that are the user's."""
    return {
        "owner": f"{TOKENS['owner']}@example.com",
        "consent": TOKENS["consent"],
        "department": "research",
        "labels": {"project": TOKENS["label"], TOKENS["labelname"]: "x"},
    }


HEADERS = (
    ("x-customer", TOKENS["header"].encode()),
    ("baggage", f"owner={TOKENS['baggage']},department={TOKENS['baggage']}".encode()),
    ("tracestate", f"vendor={TOKENS['header']}".encode()),
    ("traceparent", b"00-" + uuid.uuid4().hex.encode() + b"-" + uuid.uuid4().hex[:16].encode() + b"-01"),
)


def missing_artifacts(request: dict[str, Any], job: str) -> bytes:
    """A task whose artifacts do not exist: the exception that ends it quotes a key with a word of the user."""

    def ref(role: str) -> dict[str, Any]:
        key = f"jobs/default/{job}/face/a/{TOKENS['cause']}-{role}"
        return {"bucket": "artifacts", "key": key, "sha256": "0" * 64, "size": 100}

    outputs: dict[str, Any] = {}
    for source in INFER.inputs.values():
        stage, _, role = source.partition("/")
        outputs.setdefault(stage, {"attempt": "a", "artifacts": {}})["artifacts"][role] = ref(role)
    outputs["face"]["metadata"] = {"note": TOKENS["text"]}
    task = {"job_id": job, "request_id": "r", "request": request, "submitted_ms": 1, "outputs": outputs}
    assert RenderTask.parse(json.dumps(task).encode())
    return json.dumps(task).encode()


@pytest.fixture(scope="module")
def written(pipeline: Pipeline, client: Client) -> dict[str, str]:
    """Everything that the services wrote while they rendered one job and failed at six, as text by carrier."""
    logs = {path: path.stat().st_size for path in service_logs(pipeline)}
    dead_letters = Reader(client.bootstrap, "render.dlq")
    picture, sound = upload(client, portrait(), "jpg"), upload(client, speech(), "mp3")
    request = json.loads(body(picture, sound, **of_user()))
    jobs = {
        name: f"{name}-{uuid.uuid4().hex[:8]}" for name in ("invalid", "missing", "unreadable", "gone", "stale", "good")
    }
    absent = {"key": f"default/{OF_KEY}/{TOKENS['filename']}.png"}
    broken = {"key": upload(client, broken_portrait(), "png")}
    for job, changed in (
        (jobs["invalid"], {"params": {"inference_steps": TOKENS["text"], TOKENS["text"]: 1}}),
        (jobs["missing"], {"portrait": absent}),
        (jobs["unreadable"], {"portrait": broken}),
    ):
        client.produce("render.requests", json.dumps(request | changed).encode(), job, HEADERS)
    # As if the portrait had been deleted after the front had found it: the download of a later stage fails.
    gone = {"job_id": jobs["gone"], "request_id": "r", "request": request | {"portrait": absent}, "submitted_ms": 1}
    client.produce("render.face", json.dumps(gone).encode(), jobs["gone"], HEADERS)
    topic = f"render.infer.{DEFAULT_ENGINE}"
    client.produce(topic, missing_artifacts(request, jobs["stale"]), jobs["stale"], HEADERS)
    poison = json.dumps({"job_id": TOKENS["text"] + " ", "request": request, TOKENS["text"]: TOKENS["text"]}).encode()
    client.produce(topic, poison, b"poison", HEADERS)
    ends = client.wait([jobs[name] for name in ("invalid", "missing", "unreadable", "gone", "stale")])
    assert [(end.type, end.body["code"]) for end in ends[:4]] == [
        ("rejected", "INVALID_REQUEST"),
        ("rejected", "INPUT_NOT_FOUND"),
        ("rejected", "IMAGE_UNREADABLE"),
        ("rejected", "INPUT_NOT_FOUND"),
    ]
    assert ends[4].type == "failed"
    # The last: each service exports its spans in order.
    client.produce("render.requests", json.dumps(request).encode(), jobs["good"], HEADERS)
    client.done(jobs["good"])
    client.spans(
        jobs["good"],
        *(f"process {topic}" for topic in ("render.requests", "render.face", topic, "render.encode")),
        "render",
    )
    added = [message.headers() or [] for message in dead_letters.rest()]
    dead_letters.close()
    assert len(added) >= 2
    client.drain()
    mine = [event for job in jobs.values() for event in client.events[job]]
    answers = [(event.body["message"], event.body.get("field")) for event in mine if event.type == "rejected"]
    states = [value.decode() for event in mine for name, value in event.headers if name == "tracestate"]
    return {
        "spans": stored_spans(pipeline),
        "logs": "".join(path.read_text()[logs.get(path, 0) :] for path in service_logs(pipeline)),
        "metrics": "".join(exposition(service.health_port) for service in pipeline.stack.services),
        "events": "\n".join(json.dumps(without_answer(event)) for event in mine),
        "answers": str(answers),
        "states": str(states),
        "dead letter headers": str([h for headers in added for h in headers if h[0].startswith(DLQ)]),
    }


def without_answer(event: Event) -> list[Any]:
    """The body and headers of an event, without what it tells the sender about the request."""
    answer = ("message", "field") if event.type == "rejected" else ()
    body = {name: value for name, value in event.body.items() if name not in answer}
    return [body, [str(header) for header in event.headers if header[0] != "tracestate"]]


def service_logs(pipeline: Pipeline) -> list[Path]:
    names = [service.name for service in pipeline.stack.services]
    return [path for name in names for path in (pipeline.stack.state_dir / "logs").glob(f"{name}*")]


def stored_spans(pipeline: Pipeline) -> str:
    """Every span that the receiver has, as it was received."""
    file = pipeline.stack.state_dir / "traces" / "spans.sqlite"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as spans:
        return "\n".join(row[0] for row in spans.execute("SELECT body FROM spans"))


def exposition(port: int) -> str:
    address = f"http://127.0.0.1:{port}/metrics"
    asked = urllib.request.Request(address, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_token_of_the_user_is_anywhere(written: dict[str, str], carrier: str) -> None:
    assert len(written[carrier]) > 500, "there is something to search"
    assert [token for token in ANYWHERE if token in written[carrier]] == []


@pytest.mark.parametrize("carrier", [carrier for carrier in CARRIERS if carrier != "events"])
def test_labels_and_consent_are_in_events_alone(written: dict[str, str], carrier: str) -> None:
    assert TOKENS["consent"] not in written[carrier]
    assert TOKENS["label"] not in written[carrier]
    assert TOKENS["labelname"] not in written[carrier]


def test_an_event_has_the_labels_in_its_field_of_that_name(written: dict[str, str]) -> None:
    events = [json.loads(line) for line in written["events"].splitlines()]
    assert any(event["labels"] == {"project": TOKENS["label"], TOKENS["labelname"]: "x"} for event, _ in events)
    assert any(event.get("consent") == TOKENS["consent"] for event, _ in events)
    others = json.dumps([[{**event, "labels": {}, "consent": None}, headers] for event, headers in events])
    assert TOKENS["consent"] not in others
    assert TOKENS["label"] not in others
    assert TOKENS["labelname"] not in others


def test_a_rejection_names_what_to_correct_and_nothing_else(written: dict[str, str]) -> None:
    """The sender's own key or misspelt name; never a value, nor anything from inside a file."""
    assert {place for place, token in TOKENS.items() if token in written["answers"]} == {"key", "filename", "text"}


def test_state_of_the_trace_is_that_of_the_sender(written: dict[str, str]) -> None:
    assert {place for place, token in TOKENS.items() if token in written["states"]} == {"header"}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_secrets_of_the_environment_are_nowhere(written: dict[str, str], pipeline: Pipeline, carrier: str) -> None:
    secrets = json.loads((pipeline.stack.state_dir / SECRETS).read_text())
    assert set(secrets) == {"access_key", "secret_key", "cache_key", "hash_key", "webhook_key"}
    values = {name: value.rpartition(":")[2] for name, value in secrets.items()}
    assert [name for name, value in values.items() if value in written[carrier]] == []
