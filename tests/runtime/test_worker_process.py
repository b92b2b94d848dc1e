"""One worker process and its pipe: failures, budgets, and an environment without credentials."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.messages.codes import Code
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.slot.context import MAX_CHUNK_UPLOADS
from shared.slot.spec import StageSpec, TooCostly

SPEC = StageSpec(
    name="trial",
    handler="tests.runtime.trial_handler",
    inputs={},
    too_costly=TooCostly(Code.IMAGE_UNREADABLE, "too much", "portrait", "less"),
)


def ignore(_: records.FromWorker) -> None:
    """Ignore the records before the result."""


def never() -> bool:
    return False


def work(folder: Path, do: str) -> records.Work:
    ref = InputRef(key="default/x")
    request = RenderRequest(portrait=ref, speech=ref, labels={"do": do})
    job = RenderTask(job_id="job", request_id="r", request=request, submitted_ms=1)
    return records.Work(job=job, inputs={}, scratch=str(folder))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerProcess]:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "KAFKA_BOOTSTRAP_SERVERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "LIPSTAGE_CACHE_KEY",
        "LIPSTAGE_HASH_KEY",
        "LIPSTAGE_C2PA_PRIVATE_KEY_FILE",
    ):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    process = WorkerProcess(SPEC, "puppet")
    process.start()
    yield process
    process.stop()


def test_worker_environment_has_no_credentials(worker: WorkerProcess, tmp_path: Path) -> None:
    result = worker.run(work(tmp_path, "nothing"), ignore, never, 30)
    assert isinstance(result, records.Finished)
    names = result.metadata["environment"]
    assert isinstance(names, list)
    assert "LIPSTAGE_ENGINE" in names
    secret = ("AWS_", "KAFKA_", "OTEL_", "LIPSTAGE_CACHE_KEY", "LIPSTAGE_HASH_KEY", "LIPSTAGE_C2PA_")
    assert [n for n in names if str(n).startswith(secret)] == []


def test_model_library_writes_nothing_to_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    process = WorkerProcess(StageSpec(name="face", handler="stages.face.handler", inputs={}), "puppet")
    process.start()
    process.stop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_signature_comes_from_the_parent_and_once(worker: WorkerProcess, tmp_path: Path) -> None:
    def answer(record: records.FromWorker) -> None:
        if isinstance(record, records.Sign):
            worker.send(records.Signed(signature=base64.b64encode(b"signed " + record.data)))

    result = worker.run(work(tmp_path, "sign"), answer, never, 30)
    assert isinstance(result, records.Finished)
    assert result.metadata["much"] == b"signed a claim".hex()
    with pytest.raises(WorkerDied, match="budget of 1 signatures"):
        worker.run(work(tmp_path, "sign twice"), answer, never, 30)


def test_dead_worker_is_reported_and_can_be_restarted(worker: WorkerProcess, tmp_path: Path) -> None:
    first = worker.pid
    with pytest.raises(WorkerDied, match="-9"):
        worker.run(work(tmp_path, "die"), ignore, never, 30)
    assert worker.pid is None
    worker.start()
    assert worker.pid not in (None, first)
    assert isinstance(worker.run(work(tmp_path, "nothing"), ignore, never, 30), records.Finished)


def test_hanging_worker_is_killed_at_its_deadline(worker: WorkerProcess, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="deadline"):
        worker.run(work(tmp_path, "hang"), ignore, never, 0.3)
    assert worker.pid is None


def test_file_that_uses_up_the_cpu_time_of_its_decoder_is_refused_and_kills_no_other_task(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    refused = worker.run(work(tmp_path, "decode without end"), ignore, never, 30)
    assert refused == records.Refused(code=Code.IMAGE_UNREADABLE, message="too much", field="portrait", allowed="less")
    assert worker.pid is None
    worker.start()
    assert isinstance(worker.run(work(tmp_path, "decode"), ignore, never, 30), records.Finished)


@pytest.mark.parametrize("how", ["send half a record", "send a huge record"])
def test_worker_that_sends_half_a_record_or_a_huge_one_is_killed(
    worker: WorkerProcess, tmp_path: Path, how: str
) -> None:
    with pytest.raises(WorkerDied):
        worker.run(work(tmp_path, how), ignore, never, 1.0)
    assert worker.pid is None
    worker.start()
    assert isinstance(worker.run(work(tmp_path, "nothing"), ignore, never, 30), records.Finished)


def test_worker_records_are_bounded() -> None:
    """The records become events, spans, metrics and object keys."""
    for record in (
        {"kind": "warned", "code": "LOW_RESOLUTION", "message": "x" * 10_000},
        {"kind": "metric", "name": "face_detections_total", "amount": -1},
        {"kind": "metric", "name": "face_detections_total", "amount": float("nan")},
        {"kind": "file_ready", "role": "../..", "path": "/x", "frames": 1},
        {"kind": "span", "name": "a", "span_id": "0" * 16, "start_ns": 1, "end_ns": 2},
        {"kind": "progress", "done": -1, "total": 2},
    ):
        with pytest.raises(ValidationError):
            records.FROM_WORKER.validate_python(record)


def test_excess_span_events_are_dropped_and_the_task_completes(worker: WorkerProcess, tmp_path: Path) -> None:
    received: list[records.FromWorker] = []
    result = worker.run(work(tmp_path, "record every frame"), received.append, never, 30)
    assert isinstance(result, records.Finished)
    (span,) = received
    assert isinstance(span, records.Span)
    assert (len(span.events), len(span.attributes)) == (records.MAX_EVENTS, records.MAX_ATTRIBUTES)


def test_handler_bug_leaves_the_worker_alive(worker: WorkerProcess, tmp_path: Path) -> None:
    result = worker.run(work(tmp_path, "fail"), ignore, never, 30)
    assert isinstance(result, records.HandlerFailed)
    assert result.exception == "KeyError"
    assert "trial_handler" in result.stack
    assert worker.pid is not None


def test_cancel_ends_the_task_at_its_next_check(worker: WorkerProcess, tmp_path: Path) -> None:
    working = threading.Event()
    result = worker.run(work(tmp_path, "wait"), lambda _: working.set(), working.is_set, 30)
    assert isinstance(result, records.CancelledTask)
    assert worker.pid is not None


def test_upload_chunk_waits_for_earlier_uploads(worker: WorkerProcess) -> None:
    """The fifth chunk is sent only after the first is confirmed: nothing else bounds the disk usage."""
    uploaded: list[records.FileReady] = []
    confirmed = 0
    peak = 0

    def take(record: records.FromWorker) -> None:
        nonlocal peak
        if isinstance(record, records.FileReady):
            uploaded.append(record)
            peak = max(peak, len(uploaded) - confirmed)

    def confirm() -> bool:
        nonlocal confirmed
        if len(uploaded) - confirmed == MAX_CHUNK_UPLOADS or len(uploaded) == 6:
            confirmed += 1
            worker.send(records.ChunkUploaded())
        return False

    assert worker.folder is not None
    assert isinstance(worker.run(work(worker.folder.work, "upload"), take, confirm, 30), records.Finished)
    assert len(uploaded) == 6
    assert peak == MAX_CHUNK_UPLOADS


def test_exception_in_the_parent_kills_the_worker(worker: WorkerProcess, tmp_path: Path) -> None:
    def fail() -> bool:
        raise OSError("the upload failed")

    with pytest.raises(OSError, match="upload"):
        worker.run(work(tmp_path, "hang"), ignore, fail, 30)
    assert worker.pid is None
