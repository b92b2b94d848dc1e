"""Pods that go away in mid-task: another replica goes on from the last checkpoint, at most one interval is lost."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.settings import RuntimeSettings
from shared.storage import keys
from shared.storage.client import connect
from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.conftest import ROOT, Infrastructure, apply_topics
from tests.relay import harness
from tests.runtime.stepping_handler import EVERY, STEPS

WAIT_S = 120
DONE_BEFORE = 2 * EVERY + 2
"""Steps of the first replica: two checkpoints, and work after the second one."""


until = partial(harness.until, wait_s=WAIT_S)


class Job:
    """One task of the face stage with its folder of control files, and the replicas that may do it."""

    def __init__(self, stack: Infrastructure, prefix: str, folder: Path, store: ObjectStore) -> None:
        self.id, self.folder, self.store = uuid.uuid4().hex, folder, store
        self.allow(DONE_BEFORE)
        (folder / "steps").touch()
        self._environment = {**os.environ, "LIPSTAGE_TOPIC_PREFIX": prefix, "PYTHONPATH": str(ROOT)}
        self._environment |= {"LIPSTAGE_SCRATCH_DIR": str(folder), "LIPSTAGE_FREE_SPACE_RESERVE_MB": "0"}
        self._environment["LIPSTAGE_CONFINEMENT"] = "off"  # Its handler writes to a folder of the test.
        self.replicas: list[subprocess.Popen[bytes]] = []
        # One partition: while the first replica has it, the second one has nothing to do.
        settings = RuntimeSettings(topic_prefix=prefix, work_partitions=1)
        apply_topics(settings)
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref)
        task = RenderTask(job_id=self.id, request_id="r", request=request, submitted_ms=int(time.time() * 1000))
        producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
        producer.produce(settings.topic("render.face"), task.dump(), self.id)
        assert producer.flush(WAIT_S) == 0

    def allow(self, steps: int) -> None:
        new = self.folder / "new"
        new.write_text(str(steps))
        new.replace(self.folder / "limit")

    def replica(self, drain_s: float) -> "subprocess.Popen[bytes]":
        with (self.folder / f"log-{len(self.replicas)}").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.runtime.stepping_service"],
                cwd=ROOT,
                env=self._environment | {"LIPSTAGE_DRAIN_S": str(drain_s)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.replicas.append(process)
        return process

    def steps(self, replica: "subprocess.Popen[bytes]") -> list[int]:
        lines = [line.split() for line in (self.folder / "steps").read_text().splitlines()]
        return [int(step) for pid, step in lines if int(pid) == replica.pid]

    def stored(self) -> int:
        """Steps that the newest checkpoint in the object store has."""
        key = keys.checkpoint_record("default", self.id, "face")
        if not list(self.store.artifacts.list_prefix(key)):
            return 0
        settings = StorageSettings()
        body = connect(settings).get_object(Bucket=settings.bucket, Key=key)["Body"].read()
        return int(json.loads(body)["done"])

    def is_done(self) -> bool:
        """Whether the stage's marker exists: the task is complete."""
        return bool(list(self.store.artifacts.list_prefix(keys.marker("default", self.id, "face"))))


@pytest.fixture
def job(stack: Infrastructure, topic_prefix: str, tmp_path: Path, store: ObjectStore) -> Iterator[Job]:
    one = Job(stack, topic_prefix, tmp_path, store)
    yield one
    for process in one.replicas:
        process.kill()
        process.wait()


def assert_continued(job: Job, first: "subprocess.Popen[bytes]", second: "subprocess.Popen[bytes]") -> None:
    """The second replica completes the task, and repeats less than one interval of the first one's steps."""
    until(job.is_done, "the other replica completes the task")
    before, after = job.steps(first), job.steps(second)
    assert before == list(range(DONE_BEFORE))
    assert after == list(range(2 * EVERY, STEPS)), "from the last checkpoint to the end"
    assert len(set(before) & set(after)) <= EVERY


def at_work(job: Job, drain_s: float) -> "subprocess.Popen[bytes]":
    """A replica that has done its steps, whose second checkpoint is stored, and that can't go on."""
    replica = job.replica(drain_s)
    until(lambda: len(job.steps(replica)) == DONE_BEFORE, "the first replica works")
    until(lambda: job.stored() == 2 * EVERY, "its checkpoint is stored")
    return replica


def test_task_that_outlasts_the_drain_goes_on_elsewhere_from_its_checkpoint(job: Job) -> None:
    first = at_work(job, drain_s=0.5)
    second = job.replica(drain_s=0.5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(WAIT_S) == 0, "a drain is no failure"
    job.allow(STEPS)
    assert_continued(job, first, second)


def test_spot_node_that_is_taken_away_loses_at_most_one_interval(job: Job) -> None:
    """SIGTERM with the notice, SIGKILL when the grace period is over, before the drain ends."""
    first = at_work(job, drain_s=600)
    second = job.replica(drain_s=600)
    first.send_signal(signal.SIGTERM)

    first.kill()
    assert first.wait(WAIT_S) == -signal.SIGKILL
    job.allow(STEPS)
    assert_continued(job, first, second)


def test_task_that_fits_the_drain_is_completed_where_it_runs(job: Job) -> None:
    first = at_work(job, drain_s=600)
    first.send_signal(signal.SIGTERM)
    job.allow(STEPS)
    assert first.wait(WAIT_S) == 0
    assert job.steps(first) == list(range(STEPS))
    assert job.is_done()
