"""The local stack of any checkout, in a folder of its own: its processes' CPU time, its requests and its objects.

Everything is read from outside, so that a checkout that does not know this benchmark can be measured.
"""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bench import sessions
from bench.alone import interpreter
from bench.versions import deployment
from shared.client import Client
from shared.local import stack_file

CLIENT = Path(__file__).with_name("checkout") / "client.py"
OTHERS = ("KAFKA_", "AWS_", "OTEL_")
COUNT = "lipstage_store_request_duration_seconds_count{"
LIST_S = 0.1
"""How often the objects are listed while a job runs."""
START = "import sys; from shared.cli.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class StackOf:
    """A running stack with all its services."""

    checkout: Path
    state: Path

    @property
    def _stack(self) -> stack_file.Stack:
        stack = stack_file.load(self.state)
        assert stack is not None
        return stack

    def lipstage(self, *arguments: str) -> str:
        """The standard output of a command of the checkout. Raises SystemExit with its errors when it fails."""
        command = [interpreter(self.checkout), "-c", START, *arguments]
        done = subprocess.run(command, env=self.environment(), cwd=self.checkout, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"lipstage {' '.join(arguments)} of {self.checkout} failed: {done.stderr.strip()}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The environment in which a command of the checkout finds this stack."""
        jars = self.checkout / ".lipstage" / "jars"
        return {
            # Its parts are its own, whatever deployment the caller's variables name.
            **{name: value for name, value in os.environ.items() if not name.startswith(OTHERS)},
            "PYTHONPATH": str(self.checkout),
            "LIPSTAGE_STATE_DIR": str(self.state),
            **({"LIPSTAGE_JARS_DIR": str(jars)} if jars.is_dir() else {}),
        }

    def render(self, jobs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Have a fresh client process of the checkout submit the jobs at once and wait; its figures, see
        ``bench.checkout.client``. Raises SystemExit when a job is not done."""
        command = [interpreter(self.checkout), str(CLIENT)]
        done = subprocess.run(
            command, input=json.dumps(jobs), env=self.environment(), cwd=self.checkout, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"the client of {self.checkout} failed: {done.stderr.strip()}")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def pid_of(self, program: str) -> int:
        """The process of one of its programs."""
        return next(one.pid for one in self._stack.supervisor().programs() if one.name == program)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of every part: ``handler audio``, ``parent audio``, ``kafka``, ``store``, ...

        A worker process counts as its stage's handler, every other descendant of a service as its parent.
        """
        parts: dict[str, float] = {}
        stages = {record.name: record.stage for record in self._stack.services}
        children = _children()
        for program in self._stack.supervisor().programs():
            stage = stages.get(program.name)
            family = [program.pid]
            for pid in family:
                family += children.get(pid, [])
                part = program.name if stage is None else f"{'handler' if _is_worker(pid) else 'parent'} {stage}"
                parts[part] = parts.get(part, 0.0) + sessions.cpu_s(pid)
        return parts

    def requests(self) -> Counter[str]:
        """Requests of the services to the object store so far, by operation."""
        counts: Counter[str] = Counter()
        for record in self._stack.services:
            with urllib.request.urlopen(f"http://127.0.0.1:{record.health_port}/metrics", timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    if line.startswith(COUNT):
                        counts[line.split('operation="')[1].split('"')[0]] += int(float(line.rsplit(" ", 1)[1]))
        return counts

    @contextmanager
    def listing(self) -> Iterator["Listing"]:
        """List the objects again and again while the block runs, and once more at its end."""
        with Client(deployment(self.lipstage("config", "--env")), service_name="bench") as client:
            listing = Listing(client)
            stop = Event()
            thread = Thread(target=listing.watch, args=(stop,))
            thread.start()
            try:
                yield listing
            finally:
                stop.set()
                thread.join()


class Listing:
    """Bytes of objects over time, beyond those that were there at first: ``jobs``, ``cache`` (what later jobs with the
    same files share) and ``inputs``."""

    def __init__(self, client: Client) -> None:
        settings = client.connection.storage_settings
        self._s3 = client.connection.s3
        inputs = settings.input_buckets["inputs"]
        self._places = {
            "jobs": (settings.bucket, "jobs/"),
            "cache": (settings.bucket, "cache/"),
            "inputs": (inputs, ""),
        }
        self._first = self._bytes()
        self.peak: dict[str, int] = dict.fromkeys(self._places, 0)
        self.last: dict[str, int] = dict.fromkeys(self._places, 0)

    def _bytes(self) -> dict[str, int]:
        totals = {}
        for name, (bucket, prefix) in self._places.items():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            totals[name] = sum(item["Size"] for page in pages for item in page.get("Contents", []))
        return totals

    def watch(self, stop: Event) -> None:
        """List until told to stop, and then until nothing changes for a second: frames are deleted after ``done``."""
        settled = time.monotonic() + 1
        while not stop.is_set() or time.monotonic() < settled:
            now = {name: count - self._first[name] for name, count in self._bytes().items()}
            if now != self.last or not stop.is_set():
                settled = time.monotonic() + 1
            self.last = now
            self.peak = {name: max(self.peak[name], count) for name, count in now.items()}
            time.sleep(LIST_S)


@contextmanager
def stack_of(checkout: Path) -> Iterator[StackOf]:
    """Start broker, object store and services of a checkout, and stop them after the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        made = StackOf(checkout, Path(folder) / "state")
        try:
            made.lipstage("up")
            yield made
        finally:
            made.lipstage("down", "--purge")


def used(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds between two readings of ``StackOf.cpu``, by part; 0 for what used less than a clock tick."""
    return {part: max(0.0, round(seconds - before.get(part, 0.0), 2)) for part, seconds in sorted(after.items())}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for pid in sessions.pids():
        if fields := sessions.stat(pid):
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def _is_worker(pid: int) -> bool:
    try:
        return b"shared.slot.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
