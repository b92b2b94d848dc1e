"""A worker process whose handler tries to escape, confined or not, and everything that it would like to reach."""

import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.scratch import WorkerFolder
from shared.runtime.execute.worker_process import WorkerProcess
from shared.slot import records
from shared.slot.confinement.confine import Mode
from shared.slot.spec import StageSpec

ROOT = Path(__file__).resolve().parents[2]
SPEC = StageSpec(
    name="trial",
    handler="tests.confinement.escaping_handler",
    inputs={},
    variables=("ESCAPE_*",),
    settings="stages.audio.settings:AudioSettings",
    memory_mb=3072,
)
CANARY = "canary-of-another"


class Greeting(socketserver.BaseRequestHandler):
    """Answers every connection, as a broker or a supervisor would."""

    def handle(self) -> None:
        self.request.sendall(CANARY.encode())


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a worker must not reach, as variables for the handler."""
    folder = tmp_path_factory.mktemp("targets")
    secret = folder / "state" / "credentials.json"
    secret.parent.mkdir()
    secret.write_text(CANARY)
    (folder / "home").mkdir()
    other_slot = WorkerFolder.make(folder).inputs / "portrait"
    other_slot.write_text(CANARY)
    tcp = socketserver.TCPServer(("127.0.0.1", 0), Greeting)
    # A short path: an address of a Unix socket has 108 bytes.
    unix = socketserver.UnixStreamServer(os.path.relpath(folder / "unix.sock"), Greeting)
    process = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], "STORE_SECRET": CANARY})
    try:
        with serving(tcp), serving(unix):
            yield {
                "ESCAPE_SECRET": str(secret),
                "ESCAPE_HOME": str(folder / "home"),
                "ESCAPE_OTHER_SLOT": str(other_slot),
                "ESCAPE_PORT": str(tcp.server_address[1]),
                "ESCAPE_SOCKET": os.path.relpath(folder / "unix.sock"),
                "ESCAPE_PROCESS": str(process.pid),
            }
    finally:
        process.kill()
        process.wait()


@dataclass
class Escaping:
    """A worker process with the escaping handler."""

    process: WorkerProcess
    missing: Sequence[str]

    def ask(self, **labels: str) -> records.Finished:
        """Run one task."""
        assert self.process.folder is not None
        given = self.process.folder.inputs / "portrait"
        given.write_text("own")
        folder = self.process.folder.work / "task"
        folder.mkdir(exist_ok=True)
        ref = InputRef(key="default/x")
        request = RenderRequest(portrait=ref, speech=ref, labels=labels)
        job = RenderTask(job_id="job", request_id="r", request=request, submitted_ms=1)
        work = records.Work(job=job, inputs={"portrait": str(given)}, scratch=str(folder))
        result = self.process.run(work, lambda _: None, lambda: False, 60)
        assert isinstance(result, records.Finished), result
        return result


@contextmanager
def escaping(mode: Mode, targets: dict[str, str], scratch: Path) -> Iterator[Escaping]:
    """A started worker process in that mode."""
    missing: list[str] = []
    process = WorkerProcess(SPEC, "puppet", scratch=scratch, confinement=mode, on_start=missing.extend)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in targets.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("CI_JOB_TOKEN", CANARY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
        patch.setenv("LIPSTAGE_MAX_SPEECH_S", "30")
        patch.setenv("LIPSTAGE_BUCKET", "bucket")
        process.start()
    try:
        yield Escaping(process, missing)
    finally:
        process.stop()


@pytest.fixture(scope="module")
def confined(targets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Escaping]:
    """A fully confined worker process."""
    with escaping("auto", targets, tmp_path_factory.mktemp("confined")) as one:
        assert one.missing == [], "these tests need a kernel with Landlock, and libseccomp2"
        yield one


@pytest.fixture(scope="module")
def unconfined(targets: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Escaping]:
    """A worker process that nothing confines."""
    with escaping("off", targets, tmp_path_factory.mktemp("unconfined")) as one:
        yield one
