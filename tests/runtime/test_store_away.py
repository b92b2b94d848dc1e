"""The object store goes away in the middle of an attempt: the job is shown as waiting, and can be cancelled."""

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
from tests.runtime import settled
from tests.runtime.settled import Settling

AWAY = "writing an artifact: the object store answered 503 SlowDown"


class Gate:
    """Lets writes of artifacts through, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, one: Settling) -> None:
        self.closed = True
        put = type(one.store.artifacts).put

        def gated(artifacts: Any, path: Path, key: str, **options: Any) -> ArtifactRef:
            if self.closed:
                raise StoreUnavailable(AWAY)
            return put(artifacts, path, key, **options)

        monkeypatch.setattr(type(one.store.artifacts), "put", retried(gated))


@pytest.fixture
def stage(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settling]:
    monkeypatch.setenv("PYTHONPATH", str(settled.ROOT))
    monkeypatch.setattr(waiting, "SHOWN_AFTER_S", 0.0)
    one = Settling(topic_prefix, tmp_path)
    yield one
    one.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, stage: Settling) -> Gate:
    return Gate(monkeypatch, stage)


def test_job_waits_while_chunks_cannot_be_stored_and_then_continues(stage: Settling, gate: Gate) -> None:
    task = settled.task("upload")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        settling = stage.settle(task)
        waits = stage.until("waiting")
        gate.closed = False
        settling.result(60)
    assert isinstance(waits, Waiting)
    assert (waits.job_id, waits.stage, waits.code, waits.message) == (task.job_id, "face", "STORE_UNAVAILABLE", AWAY)
    assert stage.until("finished").attempt == 1
    retries = [line for line in logged if line["event"] == "store_retry"]
    assert {(line["job"], line["stage"], line["reason"]) for line in retries} == {(task.job_id, "face", AWAY)}
    assert len(stage.out.tasks) == 1


def test_cancel_ends_a_job_that_waits_for_the_store_and_keeps_its_worker(stage: Settling, gate: Gate) -> None:
    task = settled.task("upload")
    settling = stage.settle(task)
    stage.until("waiting")
    worker = stage.worker.pid
    stage.cancelled.jobs.add(task.job_id)
    settling.result(60)
    end = stage.until("failed")
    assert isinstance(end, Failed)
    assert end.code == "CANCELLED"
    assert stage.worker.pid == worker, "a model takes minutes to load"
    assert stage.dead_letters() == []
