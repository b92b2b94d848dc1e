"""A real stage service with a trivial handler, and the means to give it records: for benchmarks of one hop."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import Consumer, Producer

from bench.one_stage_handler import RUNS, UNCONFINED
from shared.local import ports, readiness, stack
from shared.local.settings import LocalSettings
from shared.messages import headers as message_headers
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.host.stage_service import serve
from shared.runtime.kafka_config import UNLOGGED, Config
from shared.runtime.settings import RuntimeSettings
from shared.slot.spec import StageSpec

PREFIX = "one."
WAIT_S = 120.0
SPEC = StageSpec(name="face", handler="bench.one_stage_handler", inputs={}, memory_mb=1024, variables=(RUNS,))


class OneStage:
    """The running face service: send records to it, see the tasks that it sends on."""

    def __init__(self, servers: str, runs: Path, prefix: str = PREFIX) -> None:
        self._prefix = prefix
        self._runs = runs
        common: Config = {"bootstrap.servers": servers, **UNLOGGED}
        self._producer = Producer(common | {"linger.ms": 0})
        self._consumer = Consumer(common | {"group.id": "bench", "auto.offset.reset": "earliest"})
        self._consumer.subscribe([f"{prefix}render.infer.puppet"])
        self._news = threading.Condition()
        self._arrived: dict[str, list[float]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                with self._news:
                    self._arrived[(message.key() or b"").decode()].append(time.monotonic())
                    self._news.notify_all()
        self._consumer.close()

    def task(self, tenant: str = "default", **labels: str) -> RenderTask:
        """A new job's task."""
        ref = InputRef(key=f"{tenant}/x")
        request = RenderRequest(tenant=tenant, portrait=ref, speech=ref, labels=labels)
        return RenderTask(job_id=uuid.uuid4().hex, request_id="r", request=request, submitted_ms=1)

    def send(self, task: RenderTask) -> str:
        """Send a task to partition 0; returns its job id."""
        headers = message_headers.task_headers(task, "face", time.time_ns() // 1_000_000)
        self._produce(task.job_id.encode(), task.dump(), headers)
        return task.job_id

    def send_poison(self) -> None:
        """Send a record that is no task, to the same partition."""
        self._produce(b"poison", b"\xff not a task", [])

    def _produce(self, key: bytes, value: bytes, headers: list[message_headers.Header]) -> None:
        self._producer.produce(f"{self._prefix}render.face", value, key, 0, headers=[*headers])
        self._producer.poll(0)

    def wait(self, job_id: str, count: int = 1) -> float:
        """When the job's task was sent on for the ``count``-th time, seconds of the monotonic clock."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._arrived[job_id]) >= count, WAIT_S):
                raise SystemExit(f"the task of job {job_id} was not sent on within {WAIT_S:.0f} s")
            return self._arrived[job_id][count - 1]

    def count(self, job_id: str) -> int:
        """How often the job's task has been sent on so far."""
        with self._news:
            return len(self._arrived[job_id])

    def runs(self, job_id: str) -> list[float]:
        """When the handler started to work on the job, seconds of the monotonic clock."""
        lines = (line.split() for line in self._runs.read_text().splitlines())
        return [float(at) for job, at in lines if job == job_id]


@contextmanager
def one_stage() -> Iterator[OneStage]:
    """The service with a broker and an object store of its own."""
    with own_stack() as settings, serving(settings) as service:
        yield service


@contextmanager
def own_stack() -> Iterator[LocalSettings]:
    """A broker and an object store that only the benchmark uses."""
    with TemporaryDirectory() as name:
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=LocalSettings().jars, topic_prefix=PREFIX)
        try:
            yield settings
        finally:
            stack.down(settings, purge=True)


@contextmanager
def serving(settings: LocalSettings, prefix: str = PREFIX, **variables: str) -> Iterator[OneStage]:
    """The service on that stack, with topics of its own, and with these variables in its environment."""
    started = stack.up(settings.model_copy(update={"topic_prefix": prefix}), services=False)
    with TemporaryDirectory() as name:
        folder = Path(name)
        runs = folder / "runs"
        runs.touch()
        (health,) = ports.pick(1)
        environment = started.environment(stack.credentials_of(started)) | {
            "LIPSTAGE_TOPIC_PREFIX": prefix,
            "LIPSTAGE_HEALTH_PORT": str(health),
            "LIPSTAGE_CACHE_KEY": os.urandom(16).hex(),
            RUNS: str(runs),
            **UNCONFINED,
        }
        command = [sys.executable, "-m", "bench.one_stage"]
        log = (folder / "service.log").open("w")
        process = subprocess.Popen(command, env={**os.environ, **environment, **variables}, stdout=log)
        try:
            wait_for(lambda: readiness.serves(health))
            with closing(OneStage(started.bootstrap_servers, runs, prefix)) as service:
                for _ in range(5):  # The first jobs open connections.
                    service.wait(service.send(service.task()))
                yield service
        finally:
            process.terminate()
            process.wait(60)
            log.close()


def wait_for(ready: Callable[[], bool]) -> None:
    """Wait until ``ready``. Raises SystemExit after ``WAIT_S``."""
    until = time.monotonic() + WAIT_S
    while not ready():
        if time.monotonic() > until:
            raise SystemExit(f"the service is not ready after {WAIT_S:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(serve("face", RuntimeSettings(), SPEC))
