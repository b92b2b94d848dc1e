"""No record ends the service at every delivery: a fault of one record ends its job, with one event. The stage makes one
attempt, so that what would be retried is a dead letter at once."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import KafkaException
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from shared.messages.delivery_headers import read_delivery
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.messages.topics import MAX_DEAD_LETTER_BYTES
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import Abandoned, WorkerDied
from shared.runtime.host.processing import open_store, task_processor
from shared.runtime.kafka_config import producer_config
from shared.runtime.producers import Producers
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.cleanup import Cleanup
from shared.runtime.settle.event_publisher import EventPublisher
from shared.slot.spec import StageSpec
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from shared.telemetry import clients, tracing
from tests.conftest import ROOT, Infrastructure, apply_topics, temporary_topics
from tests.pipeline.client import Reader
from tests.storage.faulty import FaultyStore, about, faulty_store

FRONT = StageSpec(name="audio", handler="tests.runtime.trial_handler", inputs={"speech": "request.speech"})
INNER = StageSpec(name="face", handler="tests.runtime.trial_handler", inputs={"image": "audio/image"})
TENANT = "poor"


class CancelAfter:
    """Reports the job as cancelled after ``after`` checks."""

    def __init__(self) -> None:
        self.after = 1000
        self.checks = 0
        self.on_check: Callable[[], None] = lambda: None

    def has(self, tenant: str, job: str) -> bool:
        self.checks += 1
        self.on_check()
        return self.checks > self.after


class Rig:
    """One stage's processor on the real broker and, through a proxy, the real store."""

    def __init__(self, stack: Infrastructure, faulty: FaultyStore, prefix: str, folder: Path) -> None:
        self.faulty = faulty
        self.settings = RuntimeSettings(
            topic_prefix=prefix, store_retry_timeout_s=1.0, max_attempts=1, free_space_reserve_mb=0
        )
        self.tracing = tracing.setup("test", "0")
        produce = producer_config(self.settings, "test") | {"message.max.bytes": MAX_DEAD_LETTER_BYTES}
        self.producers = Producers(clients.traced_producer(self.tracing, produce), clients.raw_producer(produce))
        self.store = ObjectStore.open(StorageSettings())
        self.events = Reader(stack.bootstrap_servers, f"{prefix}render.events")
        self.dead_letters = Reader(stack.bootstrap_servers, f"{prefix}render.dlq")
        self.retries = Reader(stack.bootstrap_servers, f"{prefix}render.retry.10s")
        self.cancels = CancelAfter()
        self.folder = folder
        self.prefix = prefix
        self.job = uuid.uuid4().hex
        self.stop = Event()
        self.workers = {spec.name: WorkerProcess(spec, "puppet") for spec in (FRONT, INNER)}

    def close(self) -> None:
        for worker in self.workers.values():
            worker.stop()
        self.producers.close()
        self.events.close()
        self.dead_letters.close()
        self.retries.close()

    def input(self) -> str:
        key = f"{TENANT}/{uuid.uuid4().hex}/input"
        self.store.inputs._client.put_object(Bucket="lipstage-inputs", Key=key, Body=b"input")
        return key

    def request(self, do: str = "", **fields: Any) -> RenderRequest:
        ref = InputRef(key=self.input())
        return RenderRequest(tenant=TENANT, portrait=ref, speech=ref, labels={"do": do}, **fields)

    def task(self, do: str = "", **fields: Any) -> RenderTask:
        image = self.store.artifacts.put_bytes(b"image", f"jobs/rich/{self.job}/audio/a1/image")
        outputs = {"audio": StageOutput(attempt="a1", artifacts={"image": image})}
        request = self.request(do, **fields)
        return RenderTask(job_id=self.job, request_id="r", request=request, submitted_ms=1, outputs=outputs)

    def settle(self, spec: StageSpec, value: bytes) -> None:
        """Process a record as a slot does; raises what would end the service."""
        headers = [("a", b"b"), ("ce_id", f"{TENANT}/{self.job}:face".encode()), ("ce_subject", self.job.encode())]
        record = Record(f"{self.prefix}render.work", 0, 7, self.job.encode(), value, headers, 1)
        worker = self.workers[spec.name]
        if worker.pid is None:
            worker.start()
        processor = task_processor(
            spec,
            "group",
            self.settings,
            open_store(self.settings, spec.name),
            self.producers,
            self.tracing,
            self.cancels.has,
            DiskSpace(self.folder, 0),
            self.stop.is_set,
        )
        processor.handle(record, PartitionAssignment(record.topic, 0), worker)

    def front(self, request: RenderRequest) -> None:
        self.settle(FRONT, request.model_dump_json(exclude_none=True).encode())

    def inner(self, task: RenderTask) -> None:
        self.settle(INNER, task.dump())

    def end(self) -> dict[str, Any]:
        """The job's only terminal event."""
        terminal = [event for event in _drained(self.events) if event["type"] in ("done", "failed", "rejected")]
        assert len(terminal) == 1, terminal
        assert (terminal[0]["job_id"], terminal[0]["tenant"]) == (self.job, TENANT)
        return terminal[0]

    def retried(self) -> list[int]:
        """The numbers of the attempts for which records are on the retry topic of the first tier."""
        return [read_delivery(message.headers()).attempt for message in self.retries.rest()]

    def dead_letter(self) -> Any:
        (message,) = self.dead_letters.rest()
        return message

    def refuse(self, part: str, *methods: str, status: int = 403, code: str = "AccessDenied") -> None:
        self.faulty.refuse(about(part, *methods), status, code)


def _drained(reader: Reader) -> list[dict[str, Any]]:
    """The records so far: the broker had all of them before ``settle`` returned."""
    return [json.loads(message.value() or b"") for message in reader.rest()]


@pytest.fixture(scope="module")
def prefix(stack: Infrastructure) -> Iterator[str]:
    """Topics that only this module uses."""
    with temporary_topics(stack.bootstrap_servers) as prefix:
        apply_topics(RuntimeSettings(topic_prefix=prefix, bootstrap_servers=stack.bootstrap_servers))
        for name in ("render.events", "render.dlq", "render.retry.10s"):
            _until_led(stack.bootstrap_servers, f"{prefix}{name}")
        yield prefix


@retry(retry=retry_if_exception_type(KafkaException), stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True)
def _until_led(bootstrap: str, topic: str) -> None:
    """Wait until the partitions of a new topic have a leader."""
    Reader(bootstrap, topic).close()


@pytest.fixture
def rig(stack: Infrastructure, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    with faulty_store(stack.s3_endpoint_url) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.url)
        stage = Rig(stack, faulty, prefix, tmp_path)
        yield stage
        stage.close()


def test_valid_record_is_forwarded(rig: Rig) -> None:
    """The case from which the other tests differ."""
    rig.front(rig.request())
    rig.inner(rig.task())
    assert [e["type"] for e in _drained(rig.events)] == ["accepted", "started", "finished", "started", "finished"]


def test_input_refused_by_the_store_rejects_its_job(rig: Rig) -> None:
    request = rig.request()
    rig.refuse(request.portrait.key, code="InvalidObjectState")
    rig.front(request)
    end = rig.end()
    assert (end["type"], end["code"], end["field"]) == ("rejected", "INPUT_FORBIDDEN", "portrait")
    assert (
        end["message"] == f"The portrait can't be used: {request.portrait.key} is archived and must be restored first."
    )


CLAIMS: dict[str, tuple[Callable[[Rig], object], str]] = {
    "can't be written": (lambda rig: rig.refuse("request.json", "PUT"), "ARTIFACT_REFUSED"),
    "can't be read": (lambda rig: _stored(rig, b"{}") or rig.refuse("request.json", "GET"), "ARTIFACT_REFUSED"),
    "is damaged": (lambda rig: _stored(rig, b"{"), "ARTIFACT_ALTERED"),
    "has another form": (lambda rig: _stored(rig, b'{"a": 1}'), "ARTIFACT_ALTERED"),
}


def _stored(rig: Rig, body: bytes) -> None:
    rig.store.artifacts.put_bytes(body, keys.request(TENANT, rig.job))


@pytest.mark.parametrize(("fault", "code"), CLAIMS.values(), ids=list(CLAIMS))
def test_request_whose_claim_fails_gets_one_terminal_event_and_a_dead_letter(
    rig: Rig, fault: Callable[[Rig], object], code: str
) -> None:
    fault(rig)
    rig.front(rig.request())
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", code)
    assert dict(rig.dead_letter().headers())["__dlq.errors.code"] == code.encode()


def test_job_under_a_closed_prefix_still_ends_once(rig: Rig) -> None:
    rig.refuse(f"jobs/{TENANT}/")
    rig.front(rig.request())
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "ARTIFACT_REFUSED")


def test_rejection_is_published_when_its_document_cannot_be_stored(rig: Rig) -> None:
    request = rig.request()
    rig.refuse("end.json")
    rig.refuse(request.speech.key, code="InvalidObjectState")
    rig.front(request)
    assert rig.end()["type"] == "rejected"


@pytest.mark.parametrize("part", ["/face/", "face.json", "audio/a1/image"])
def test_task_whose_objects_are_refused_fails(rig: Rig, part: str) -> None:
    task = rig.task("upload")
    rig.refuse(part)
    rig.inner(task)
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "ARTIFACT_REFUSED")


@pytest.mark.parametrize("spec", ["front", "inner"])
def test_bucket_that_refuses_everything_ends_no_job(rig: Rig, spec: str) -> None:
    request, task = rig.request(), rig.task()
    rig.refuse("/lipstage/")
    rig.front(request) if spec == "front" else rig.inner(task)
    assert rig.retried() == [1], "the same attempt again"
    assert [e for e in _drained(rig.events) if e["type"] in ("failed", "rejected")] == []


def test_damaged_cached_output_fails_one_job_and_is_replaced(rig: Rig) -> None:
    for tenant, kept in ((TENANT, False), ("rich", True)):
        digest = uuid.uuid4().hex
        key = keys.within(keys.cache_prefix(tenant, "audio", digest, "a1"), "image")
        output = StageOutput(attempt="a1", artifacts={"image": rig.store.artifacts.put_bytes(b"image", key)})
        rig.store.cache.store(tenant, "audio", digest, output)
        rig.store.artifacts.put_bytes(b"imagX", key)
        rig.inner(rig.task().with_output("audio", output))
        assert rig.end()["code"] == "ARTIFACT_ALTERED"
        assert (rig.store.cache.lookup(tenant, "audio", digest) is not None) is kept, (
            "the entry of another tenant is kept"
        )
        rig.job = uuid.uuid4().hex


def test_cancel_is_checked_before_the_inputs(rig: Rig) -> None:
    request = rig.request()
    rig.refuse(request.portrait.key, status=503, code="SlowDown")
    rig.cancels.after = 0
    rig.front(request)
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "CANCELLED")
    assert [path for method, path in rig.faulty.requests if method == "HEAD"] == []


def test_cancel_ends_the_wait_for_inputs(rig: Rig) -> None:
    request = rig.request()
    rig.refuse(request.portrait.key, status=503, code="SlowDown")
    rig.settings = rig.settings.model_copy(update={"store_retry_timeout_s": 60.0})
    rig.cancels.after = 2
    rig.front(request)
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "CANCELLED")
    assert [path for method, path in rig.faulty.requests if method == "HEAD"] != []


@pytest.mark.parametrize("lost", ["input", "request.json", "/image", "face.json", "audio/a1/image"])
def test_object_lost_by_the_store_fails_its_job_after_the_last_attempt(rig: Rig, lost: str) -> None:
    request, task = rig.request(), rig.task()
    rig.refuse(request.portrait.key if lost == "input" else lost, status=500, code="InternalError")
    rig.front(request) if lost in ("input", "request.json") else rig.inner(task)
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "STORE_UNAVAILABLE")
    assert dict(rig.dead_letter().headers())["__dlq.errors.code"] == b"STORE_UNAVAILABLE"
    assert rig.dead_letters.rest() == [], "one record, one dead letter"


def test_job_whose_terminal_document_is_lost_still_ends(rig: Rig) -> None:
    rig.refuse("end.json", status=500, code="InternalError")
    rig.inner(rig.task("fail"))
    assert rig.end()["code"] == "INTERNAL"


def test_store_outage_of_any_length_fails_no_job(rig: Rig) -> None:
    request = rig.request()
    rig.refuse("/", status=503, code="ServiceUnavailable")
    rig.front(request)
    assert rig.retried() == [1], "the same attempt again"
    assert rig.dead_letters.rest() == []


def test_shutdown_while_admission_waits_ends_no_job(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.retry_policy.SHOWN_AFTER_S", 0.0)
    request = rig.request()
    rig.refuse(request.portrait.key, status=503, code="SlowDown")
    rig.cancels.on_check = rig.stop.set
    with pytest.raises(Abandoned):
        rig.front(request)
    assert [e for e in _drained(rig.events) if e["type"] in ("failed", "rejected")] == []
    assert rig.dead_letters.rest() == []


def test_task_for_an_engine_without_a_topic_fails(rig: Rig) -> None:
    rig.inner(rig.task(engine="sonic"))
    end = rig.end()
    assert (end["type"], end["code"]) == ("failed", "ENGINE_UNAVAILABLE")


def test_missing_delete_permission_does_not_stop_the_cleanup(rig: Rig) -> None:
    rig.refuse("delete", "POST")
    rig.inner(rig.task("upload and fail"))
    assert rig.end()["code"] == "INTERNAL"
    assert [path for method, path in rig.faulty.requests if method == "POST" and "delete" in path] != []


def test_record_after_which_no_worker_loads_is_dead_lettered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    task = rig.task("die")
    rig.workers["face"].start()

    def broken(_: WorkerProcess) -> float:
        raise WorkerDied("no device")

    monkeypatch.setattr(WorkerProcess, "start", broken)
    rig.settings = rig.settings.model_copy(update={"max_attempts": 5})
    rig.inner(task)
    end = rig.end()
    assert (end["code"], end["attempt"]) == ("CRASH_LOOP", rig.settings.max_crashes)


@pytest.mark.parametrize(("stored", "omitted"), [(True, b""), (False, b"value")])
def test_record_too_large_for_a_dead_letter_is_sent_without_its_value(rig: Rig, stored: bool, omitted: bytes) -> None:
    """The object store keeps the value; it is lost only when the object store refuses it."""
    value = b"x" * (10 << 20)
    if not stored:
        rig.refuse(keys.DEAD_LETTERS, "PUT", "POST")
    rig.settle(INNER, value)
    rig.end()
    dead_letter = rig.dead_letter()
    headers = dict(dead_letter.headers())
    assert (dead_letter.key(), dead_letter.value(), headers["a"]) == (rig.job.encode(), None, b"b")
    assert (headers["__dlq.errors.offset"], headers["__dlq.errors.code"]) == (b"7", b"POISON")
    assert headers["__dlq.errors.omitted"] == omitted
    assert bool(headers["__dlq.errors.value.key"]) is stored
    if stored:
        digest, size = headers["__dlq.errors.value.sha256"].decode(), int(headers["__dlq.errors.value.size"])
        ref = ArtifactRef(key=headers["__dlq.errors.value.key"].decode(), sha256=digest, size=size)
        assert rig.store.artifacts.get_bytes(ref, size) == value


def test_record_whose_outcome_cannot_be_published_is_dead_lettered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(EventPublisher, "rejected", broken)
    rig.inner(rig.task("reject"))
    assert (rig.end()["type"], dict(rig.dead_letter().headers())["__dlq.errors.code"]) == ("failed", b"INTERNAL")


def test_record_is_settled_when_its_cleanup_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Cleanup, "after", broken)
    rig.cancels.after = 0
    rig.inner(rig.task())
    assert rig.end()["code"] == "CANCELLED"
    assert rig.dead_letters.rest() == []


def test_artifact_under_an_unknown_alias_is_poison(rig: Rig) -> None:
    task = rig.task()
    unknown = ArtifactRef(bucket="elsewhere", key="jobs/rich/x", sha256="0" * 64, size=1)
    rig.inner(task.with_output("audio", StageOutput(attempt="a1", artifacts={"image": unknown})))
    assert rig.end()["code"] == "POISON"
