"""Two worker instances of a peer, each a session of its own, and what their journal says."""

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import sessions
from bench.peers import work
from bench.peers.servers import SERVERS, Server
from bench.realtime import HERE

PYTHON = HERE / ".venv-bench" / "bin" / "python"
INSTANCES = 2
READY_S = 60.0
POLL_S = 0.02
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: its module, the command of a worker, and the server it needs."""

    module: str
    server: str
    worker: tuple[str, ...]
    reliable: str
    """Its settings against losses, in words."""
    waiting: str = ""
    """Redis command that counts the jobs which wait or which a worker has taken."""


PEERS = {
    "celery": Peer(
        "bench.peers.celery_app",
        "redis",
        ("celery", "-A", "bench.peers.celery_app", "worker", "--concurrency", "1", "--loglevel", "WARNING"),
        "task_acks_late, task_reject_on_worker_lost, worker_prefetch_multiplier 1, visibility_timeout 30 s (a task that"
        " takes longer runs twice)",
        "HLEN unacked",
    ),
    "dramatiq": Peer(
        "bench.peers.dramatiq_app",
        "redis",
        ("dramatiq", "bench.peers.dramatiq_app", "--processes", "1", "--threads", "1"),
        "heartbeat_timeout 10 s, maintenance with every command instead of one in a thousand",
        "HLEN dramatiq:default.msgs",
    ),
    "kafka_loop": Peer(
        "bench.peers.kafka_loop",
        "kafka",
        ("bench.peers.kafka_loop",),
        "enable.auto.commit false and a commit after the work, group.protocol consumer",
    ),
    "faust": Peer(
        "bench.peers.faust_app",
        "kafka",
        ("faust", "-A", "bench.peers.faust_app", "worker", "--loglevel", "warn", "--without-web"),
        "broker_session_timeout 10 s, broker_heartbeat_interval 1 s (at least once is its default)",
    ),
}


@dataclass
class Instances:
    """The running instances of a peer."""

    peer: Peer
    folder: Path
    server: Server
    reliable: bool
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def _environment(self) -> dict[str, str]:
        variables = {**os.environ, **self.server.variables, work.FOLDER: str(self.folder), "PYTHONPATH": str(HERE)}
        return variables | ({work.RELIABLE: "1"} if self.reliable else {})

    def start(self) -> None:
        """Start one more instance; see ``await_ready``."""
        command = [str(PYTHON), "-m", *self.peer.worker]
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command, env=self._environment, cwd=HERE, stdout=log, stderr=log, start_new_session=True
                )
            )

    def await_ready(self, count: int) -> None:
        """Wait until ``count`` instances in all have loaded the networks, and have partitions where there are any."""
        events = ("ready", "assigned") if self.peer.server == "kafka" else ("ready",)
        self.wait(lambda: all(len(self.pids_of(event)) >= count for event in events), READY_S, "be ready")

    def pids_of(self, event: str) -> set[int]:
        """Processes that have noted the event."""
        return {entry["pid"] for entry in self.journal() if entry["event"] == event}

    def submit(self, jobs: list[dict[str, Any]]) -> None:
        """Submit jobs by a process of their own."""
        command = [str(PYTHON), "-m", "bench.peers.submit", self.peer.module]
        text = json.dumps(jobs).encode()
        subprocess.run(command, env=self._environment, cwd=HERE, input=text, check=True, stdout=subprocess.DEVNULL)

    def journal(self) -> list[Entry]:
        """What the processes noted so far."""
        file = self.folder / "journal"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def waiting(self) -> int:
        """Jobs that the server still has: a worker may get them, sooner or later."""
        return self.server.waiting(self.peer.waiting)

    def ended(self) -> set[str]:
        """Jobs whose video is finished."""
        return {entry["job"] for entry in self.journal() if entry["event"] == "end"}

    def starts(self) -> Counter[str]:
        """How often each job was started."""
        return Counter(entry["job"] for entry in self.journal() if entry["event"] == "start")

    def running(self) -> dict[int, str]:
        """The job that each process works on, by pid."""
        working: dict[int, str] = {}
        for entry in self.journal():
            if entry["event"] == "start":
                working[entry["pid"]] = entry["job"]
            elif entry["event"] == "end":
                working.pop(entry["pid"], None)
        alive = {pid for process in self.processes for pid in sessions.members(process.pid)}
        return {pid: job for pid, job in working.items() if pid in alive}

    def kill(self, pid: int) -> None:
        """SIGKILL the whole instance that the process is part of, as a machine that goes away."""
        process = next(one for one in self.processes if pid in sessions.members(one.pid))
        sessions.kill(process.pid)
        process.wait()
        self.processes.remove(process)

    def cpu_s(self) -> float:
        """CPU seconds of all instances so far."""
        return sum(sessions.cpu_s(pid) for process in self.processes for pid in sessions.members(process.pid))

    def wait(self, until: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition. Raises SystemExit with the end of the log."""
        if not self.becomes(until, seconds):
            log = (self.folder / "log").read_text(errors="replace")[-2000:]
            raise SystemExit(f"{self.peer.module} did not {what} within {seconds:.0f} s:\n{log}")

    @staticmethod
    def becomes(until: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition holds within so many seconds; returns as soon as it does."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True


@contextmanager
def instances(name: str, folder: Path, reliable: bool) -> Iterator[Instances]:
    """Server and instances of a peer, ready. Raises SystemExit when its environment is missing."""
    if not PYTHON.is_file():
        raise SystemExit("the peers have no environment: run `make setup-bench`")
    peer = PEERS[name]
    folder.mkdir()
    with SERVERS[peer.server](folder, f"peers-{name}-{os.getpid()}-{reliable}") as server:
        made = Instances(peer, folder, server, reliable)
        try:
            for _ in range(INSTANCES):
                made.start()
            made.await_ready(INSTANCES)
            yield made
        finally:
            for process in made.processes:
                sessions.kill(process.pid)
                process.wait()
