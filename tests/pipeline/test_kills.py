"""SIGKILL of any one process during a job: the job still ends with done, once; `down` leaves nothing behind."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from shared.local import ports, processes
from shared.local import stack as local
from shared.local.processes import ProcessId
from shared.messages.pipeline import STAGES
from tests.pipeline.client import Client
from tests.pipeline.conftest import Pipeline, spoken, unseen_portrait, unseen_start

SECONDS = 3.0


def program(pipeline: Pipeline, name: str) -> ProcessId:
    """The process of a program of the stack. `name`: broker, store, or the name of a service's replica."""
    pid = next(p.pid for p in pipeline.stack.supervisor().programs() if p.name == name)
    process = processes.identify(pid)
    assert process is not None
    return process


def parent(pipeline: Pipeline, stage: str, engine: str = "") -> ProcessId:
    name = next(service.name for service in pipeline.stack.services if service.stage == stage)
    return program(pipeline, f"{stage}-{engine}-0" if engine else name)


def children(pipeline: Pipeline, stage: str, engine: str = "") -> list[ProcessId]:
    """The slots' processes: those of the stack that run shared.slot.worker under this parent."""
    above = str(parent(pipeline, stage, engine).pid).encode()
    workers = []
    for process in processes.stack_processes(pipeline.stack.mark):
        try:
            line = (processes.PROC / str(process.pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"shared.slot.worker" in line and line[line.index(b"--parent") + 1] == above:
            workers.append(process)
    return workers


def worker(pipeline: Pipeline, stage: str) -> ProcessId:
    (process,) = children(pipeline, stage)
    return process


def supervisor(pipeline: Pipeline) -> ProcessId:
    process = processes.identify(int(pipeline.stack.supervisor().pidfile.read_text()))
    assert process is not None
    return process


def check(client: Client, job: str) -> None:
    """Check that the job ended once, with done and a complete video."""
    end = client.done(job, 100)
    client.drain()
    assert {event.id for event in client.ends(job)} == {end.id}
    assert all(event.body == end.body for event in client.ends(job))
    files = [key for key in client.keys(f"jobs/default/{job}/") if key.endswith(".mp4")]
    assert end.body["video"]["key"] in files
    with av.open(io.BytesIO(client.video(job))) as file:
        assert sum(1 for _ in file.decode(video=0)) == round(SECONDS * 25)


@pytest.fixture
def victim_job(client: Client, pipeline: Pipeline) -> Callable[[str], str]:
    """Submits a job with a fresh portrait and speech, so that no stage finds its output in the cache."""

    def submit(stage: str) -> str:
        portrait, speech = client.upload(unseen_portrait()), client.upload(spoken(SECONDS, unseen_start()))
        job = client.submit(portrait, speech, params={"min_resolution": 512})
        client.started(job, stage)
        return job

    return submit


@pytest.mark.parametrize("stage", STAGES)
def test_job_survives_a_killed_worker(
    client: Client, pipeline: Pipeline, victim_job: Callable[[str], str], stage: str
) -> None:
    target = worker(pipeline, stage)
    job = victim_job(stage)
    processes.kill(target)
    check(client, job)
    assert processes.wait_gone([target], 5)
    # If the work had ended before the kill, the idle worker is replaced without a task.
    client.until(lambda: target not in (running := children(pipeline, stage)) and len(running) == 1, 30)


@pytest.mark.parametrize("stage", STAGES)
def test_job_survives_a_killed_service(
    client: Client, pipeline: Pipeline, victim_job: Callable[[str], str], stage: str
) -> None:
    target, below = parent(pipeline, stage), worker(pipeline, stage)
    job = victim_job(stage)
    processes.kill(target)
    assert processes.wait_gone([target, below], 10), "the worker ends with its parent"
    check(client, job)


@pytest.mark.parametrize("name", ["broker", "store"])
def test_job_survives_a_killed_broker_or_store(
    client: Client, pipeline: Pipeline, victim_job: Callable[[str], str], name: str
) -> None:
    target = program(pipeline, name)
    job = victim_job("infer")
    processes.kill(target)
    check(client, job)


def test_stack_recovers_from_a_killed_supervisor(
    client: Client, pipeline: Pipeline, victim_job: Callable[[str], str]
) -> None:
    target = supervisor(pipeline)
    job = victim_job("infer")
    processes.kill(target)
    assert processes.wait_gone([target], 60)
    again = pipeline.up()
    assert again.stack.bootstrap_servers == pipeline.stack.bootstrap_servers
    check(client, job)


def test_down_leaves_no_process_or_open_port(pipeline: Pipeline) -> None:
    running = pipeline.up().stack
    taken = [*running.ports.values(), *(service.health_port for service in running.services)]
    local.down(pipeline.infrastructure.settings)
    try:
        assert processes.stack_processes(running.mark) == set()
        assert [port for port in taken if not ports.is_free(port)] == []
        assert not running.scratch.exists()
        since = (running.state_dir / "secrets.json").stat().st_mtime
        stray = [path for kind in ("lipstage-*", "liblz4-java-*", "hsperfdata*/*")
                 for path in Path(tempfile.gettempdir()).glob(kind)]  # fmt: skip
        assert [path for path in stray if path.stat().st_mtime > since] == []
        assert list(running.state_dir.rglob("*.sock")) == []
    finally:
        pipeline.up()
