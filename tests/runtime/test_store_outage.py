"""An outage of the object store during an attempt: the job is shown as waiting, and can be cancelled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from shared.messages.events import Failed, Waiting
from shared.messages.refs import ArtifactRef
from shared.runtime import waiting
from shared.storage.errors import StoreUnavailable
from shared.storage.retry import retried
from tests.conftest import Infrastructure
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

OUTAGE = "writing an artifact: the object store answered 503 SlowDown"


class Gate:
    """Blocks or permits writes of artifacts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: RealStage) -> None:
        self.closed = True
        put = type(stage.store.artifacts).put.__wrapped__  # type: ignore[attr-defined]

        def gated(artifacts: Any, path: Path, key: str, **options: Any) -> ArtifactRef:
            if self.closed:
                raise StoreUnavailable(OUTAGE)
            return put(artifacts, path, key, **options)

        monkeypatch.setattr(type(stage.store.artifacts), "put", retried(gated))


@pytest.fixture
def stage(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealStage]:
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    monkeypatch.setattr(waiting, "SHOWN_AFTER_S", 0.0)
    one = RealStage(topic_prefix, tmp_path)
    yield one
    one.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, stage: RealStage) -> Gate:
    return Gate(monkeypatch, stage)


def test_job_waits_while_chunks_cannot_be_stored_and_then_continues(stage: RealStage, gate: Gate) -> None:
    task = real_stage.task("upload")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        future = stage.submit(task)
        waits = stage.until("waiting")
        gate.closed = False
        future.result(60)
    assert isinstance(waits, Waiting)
    assert (waits.job_id, waits.stage, waits.code, waits.message) == (task.job_id, "face", "STORE_UNAVAILABLE", OUTAGE)
    assert stage.until("finished").attempt == 1
    retries = [line for line in logged if line["event"] == "store_retry"]
    assert {(line["job"], line["stage"], line["reason"]) for line in retries} == {(task.job_id, "face", OUTAGE)}
    assert len(stage.producers.tasks) == 1


def test_cancel_ends_a_job_that_waits_for_the_store_and_keeps_its_worker(stage: RealStage, gate: Gate) -> None:
    task = real_stage.task("upload")
    future = stage.submit(task)
    stage.until("waiting")
    worker = stage.worker.pid
    stage.cancelled.jobs.add(task.job_id)
    future.result(60)
    end = stage.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "CANCELLED"
    assert stage.worker.pid == worker, "a model takes minutes to load"
    assert stage.dead_letters() == []
