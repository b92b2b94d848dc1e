"""After an erasure nothing of a person is left: unique bytes and words, searched for in every place that keeps data.

Jobs of every kind use one portrait and one speech recording: a video with a preview in an output bucket, one that ends
as a dead letter, one that is cancelled, one of a batch. Before the erasure the test takes samples of every object that
it made; afterwards it reads all topics, all buckets and the object store's files on the disk.
"""

import io
import json
import os
import random
import signal
import uuid
import wave
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, TopicPartition
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from shared.cli.main import app
from shared.client import Client, Deployment, JobKey
from shared.local.processes import ProcessId
from shared.messages.topics import DLQ
from shared.runtime.settle import erased_sweep
from shared.storage import cache_index, keys
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.conftest import ROOT
from tests.pipeline.conftest import DELIVERIES, Pipeline, spoken
from tests.pipeline.test_kills import parent

WAIT_S = 120.0
SAMPLE_BYTES = 48
CANARY = f"canary{uuid.uuid4().hex}"
OWNER = f"{CANARY}@example.com"
SMALL = {"min_resolution": 256}
Objects = dict[tuple[str, str], bytes]
"""Contents by bucket and key."""


def portrait(path: Path, seed: int, word: str) -> Path:
    """A face that no other test uses: every pixel differs from those of the bundled portrait."""
    with Image.open(ROOT / "samples" / "portrait.png") as image:
        picture = image.convert("RGB").resize((480 + seed % 97, 480 + seed % 89))
    noise = Image.effect_noise(picture.size, 12).convert("RGB")
    info = PngInfo()
    info.add_text("Author", word)
    Image.blend(picture, noise, 0.06).save(path, "PNG", pnginfo=info)
    return path


def speech(path: Path, seed: int) -> Path:
    """A recording that no other test uses: every sample is a little off."""
    with wave.open(io.BytesIO(spoken(1.5))) as source:
        parameters, data = source.getparams(), bytearray(source.readframes(source.getnframes()))
    noise = random.Random(seed)
    for index in range(0, len(data), 2):
        data[index] = (data[index] & 0xF0) | noise.randrange(16)
    with wave.open(str(path), "wb") as target:
        target.setparams(parameters)
        target.writeframes(bytes(data))
    return path


@dataclass(frozen=True)
class Person:
    """One person's files."""

    portrait: Path
    speech: Path

    @classmethod
    def made(cls, folder: Path, seed: int, word: str = CANARY) -> "Person":
        folder.mkdir()
        return cls(portrait(folder / f"{word}.png", seed, word), speech(folder / f"{word}.wav", seed))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.made(tmp_path / "person", int.from_bytes(os.urandom(3)))


@pytest.fixture
def neighbour(tmp_path: Path) -> Person:
    return Person.made(tmp_path / "neighbour", int.from_bytes(os.urandom(3)), "somebody")


@pytest.fixture
def client(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Knows the output buckets, as the services do."""
    monkeypatch.setenv("LIPSTAGE_OUTPUT_BUCKETS", json.dumps({DELIVERIES: "lipstage-deliveries", "gone": "no-such"}))
    with Client(Deployment()) as made:
        yield made


def listed(client: Client) -> dict[tuple[str, str], str]:
    """Every object of every bucket, with its tag, which another content changes."""
    s3 = client.connection.s3
    return {
        (bucket["Name"], entry["Key"]): entry["ETag"]
        for bucket in s3.list_buckets()["Buckets"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"])
        for entry in page.get("Contents", ())
    }


def objects(client: Client, but: dict[tuple[str, str], str]) -> Objects:
    """Every object of every bucket, without those that were there before the test, and those that services delete."""
    s3, found = client.connection.s3, Objects()
    for (bucket, key), tag in listed(client).items():
        if but.get((bucket, key)) != tag:
            try:
                found[bucket, key] = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            except ClientError as e:
                if e.response["Error"]["Code"] != "NoSuchKey":
                    raise
    return found


def records(pipeline: Pipeline) -> Iterator[tuple[str, bytes]]:
    """Key, value and headers of every record of every topic, with the topic's name."""
    servers = pipeline.stack.bootstrap_servers
    consumer = Consumer({"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "enable.partition.eof": True})
    try:
        topics = consumer.list_topics(timeout=10).topics
        parts = [TopicPartition(name, number, 0) for name, one in topics.items() for number in one.partitions]
        consumer.assign(parts)
        unread = {(part.topic, part.partition) for part in parts}
        while unread:
            message: Any = consumer.poll(10)
            assert message is not None, unread
            if message.error() is not None:
                unread.discard((message.topic(), message.partition()))
                continue
            headers = b"".join(name.encode() + (value or b"") for name, value in message.headers() or ())
            yield message.topic(), (message.key() or b"") + b"|" + (message.value() or b"") + b"|" + headers
    finally:
        consumer.close()


def samples(person: Person, made: Objects, others: Iterable[bytes]) -> set[bytes]:
    """Words and bytes that are this person's alone: names, digests, and a piece of each file and of each object; not of
    the end of a job, which stays, and holds ids."""
    stored = [data for (_, key), data in made.items() if not key.endswith("/end.json")]
    contents = [person.portrait.read_bytes(), person.speech.read_bytes(), *stored]
    pieces = [data[len(data) // 2 :][:SAMPLE_BYTES] for data in contents if len(data) > 4 * SAMPLE_BYTES]
    theirs = b"|".join(others)
    unique = {piece for piece in pieces if len(set(piece)) > SAMPLE_BYTES // 2 and piece not in theirs}
    digests = {sha256(data).hexdigest().encode() for data in contents[:2]}
    return unique | digests | {CANARY.encode()}


def hits(places: Iterable[tuple[str, bytes]], wanted: set[bytes]) -> set[tuple[str, bytes]]:
    return {(place, one) for place, data in places for one in wanted if one in data}


def erase(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["erase", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_nothing_of_a_person_is_left(client: Client, pipeline: Pipeline, person: Person, neighbour: Person) -> None:
    before = listed(client)
    theirs = client.submit(client.job_spec(neighbour.portrait, neighbour.speech, params=SMALL))
    assert client.wait(theirs, timeout_s=WAIT_S).type == "done"
    others = objects(client, before)

    def submit(**fields: Any) -> Any:
        fields = {"owner": OWNER, "labels": {"who": CANARY}, "params": SMALL} | fields
        return client.submit(client.job_spec(person.portrait, person.speech, **fields))

    with suppress(ClientError):  # `up` has made it; without it no file can be delivered.
        client.connection.s3.delete_bucket(Bucket="no-such")
    start = client.position()
    output = {"bucket": DELIVERIES, "prefix": "default/out", "preview": True}
    shown = submit(output=output, params={**SMALL, "expand_ratio": 0.3})
    lost = submit(output={"bucket": "gone", "prefix": "default/x"})
    batch = submit(batch={"id": f"b{uuid.uuid4().hex}", "index": 0, "total": 1})
    infer = parent(pipeline, "infer")
    os.kill(infer.pid, signal.SIGSTOP)  # Else the job may be done before its cancel is there.
    try:
        stopped = submit(params={"min_resolution": 512})
        client.cancel(stopped)
    finally:
        os.kill(infer.pid, signal.SIGCONT)
    ends = [client.wait(job, start=dict(start), timeout_s=WAIT_S) for job in (shown, lost, batch, stopped)]
    assert [end.type for end in ends] == ["done", "failed", "done", "failed"], ends
    assert getattr(ends[1], "dead_letter", None) is not None

    made = {place: data for place, data in objects(client, before).items() if place not in others}
    wanted = samples(person, made, others.values())
    assert len(wanted) > 12, "media, decoded media, frames, videos"
    found = {bucket for bucket, _ in hits((("|".join(place), data) for place, data in made.items()), wanted)}
    assert len({name.partition("|")[0] for name in found}) == 3, "inputs, artifacts, deliveries"

    results = erase("--portrait", person.portrait, "--yes")
    assert {one["job_id"] for one in results} == {one.job_id for one in (shown, lost, batch, stopped)}
    kept = {topic for one in results for topic in one["records_until"]}
    assert DLQ in kept

    after = objects(client, before)
    stored = ((f"{bucket}/{key}", key.encode() + data) for (bucket, key), data in after.items())
    left = hits(stored, wanted)
    assert left == set()
    topics = {topic for topic, _ in hits(records(pipeline), wanted)}
    assert "render.requests" in topics
    assert topics <= kept, "every topic that keeps a record is named, with a date"
    # The object store's own log names deleted objects, and the names of inputs are digests.
    contents = {one for one in wanted if len(one) != len(sha256().hexdigest())}
    assert len(contents) > 12
    folders = [pipeline.stack.state_dir / name for name in ("store", "logs", "traces")]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    left = hits(((str(path), path.read_bytes()) for path in files), contents)
    assert left == set()
    assert {place: after.get(place) for place in others} == others, "the neighbour's job is untouched"
    again = CliRunner().invoke(app, ["erase", "--portrait", str(person.portrait), "--yes"])
    assert (again.exit_code, "is left to erase" in again.stderr) == (2, True)


@pytest.fixture
def encode(pipeline: Pipeline) -> Iterator[ProcessId]:
    """The encode service; it runs again at the end."""
    process = parent(pipeline, "encode")
    yield process
    os.kill(process.pid, signal.SIGCONT)


def test_what_a_frozen_service_writes_after_the_erasure_is_swept(
    client: Client, person: Person, encode: ProcessId
) -> None:
    start = client.position()
    os.kill(encode.pid, signal.SIGSTOP)
    job = client.submit(client.job_spec(person.portrait, person.speech, params=SMALL))
    for event in client.follow(job, dict(start), timeout_s=WAIT_S):
        if event.type == "finished" and event.stage == "infer":
            break
    erase(job.job_id, "--cancel")
    os.kill(encode.pid, signal.SIGCONT)
    after = client.submit(client.job_spec(person.portrait, person.speech, params=SMALL))
    assert client.wait(after, start=dict(start), timeout_s=WAIT_S).type == "done", "what was erased is made again"
    store = ObjectStore.open(StorageSettings())
    # As an attempt that had read the job before it was erased would go on.
    late = keys.attempt_prefix("default", job.job_id, "infer", "late")
    store.artifacts.put_bytes(person.portrait.read_bytes(), late + "frames-00000.bin")
    erased_sweep.sweep(store, Event())
    left = [entry.key for entry in store.artifacts.list_prefix(keys.job_prefix(*job.key))]
    assert left == [keys.end(*job.key), keys.request(*job.key)]
    assert cache_index.of_job(store.artifacts, *JobKey("default", after.job_id)), "another job's outputs are its own"
    assert client.purge(after).deleted["video"].objects == 1
