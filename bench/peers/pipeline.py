"""The pipeline in the place of a peer: the local stack with its four services."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.realtime import HERE
from bench.stack_of import StackOf, stack_of, used
from bench.throughput import Jobs
from bench.versions import deployment
from shared.client import Client, Submission, WaitTimeout
from shared.messages.events import Done, Progress, Started

INFER = "infer-puppet-0"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A running stack."""

    stack: StackOf

    def throughput(self, jobs: Jobs, batch: int) -> dict[str, Any]:
        """A warm-up, then a batch: videos a minute, and CPU seconds of services and servers."""
        self.stack.render(jobs.take(2))
        cpu = self.stack.cpu()
        done = self.stack.render(jobs.take(batch))
        cpu = used(cpu, self.stack.cpu())
        services = sum(seconds for part, seconds in cpu.items() if part.startswith(("handler ", "parent ")))
        return {
            "wall_s": round(done["wall_s"], 2),
            "videos_a_minute": round(60 * batch / done["wall_s"], 1),
            "cpu_s_a_job": {
                "instances": round(services / batch, 2),
                "server": round((sum(cpu.values()) - services) / batch, 2),
            },
        }

    def losses(self, jobs: Jobs, batch: int, kills: int, wait_s: float) -> dict[str, Any]:
        """SIGKILL the infer service in the middle of a task, again and again; its supervisor starts it again."""
        with Client(deployment(self.stack.lipstage("config", "--env")), service_name="bench") as client:
            position = client.position()
            submitted = [self._submit(client, job) for job in jobs.take(batch)]
            killed: dict[str, float] = {}
            for one in submitted[:: max(1, batch // kills)][:kills]:
                for event in client.events(one, start=position, timeout_s=wait_s):
                    if isinstance(event, Progress) and event.stage == "infer" and 0 < event.done < event.total:
                        os.kill(self.stack.pid_of(INFER), signal.SIGKILL)  # Its worker dies with it.
                        killed[one.job_id] = time.monotonic()
                        break
            ends: dict[str, float] = {}
            starts: Counter[str] = Counter()
            for one in submitted:
                try:
                    for event in client.events(one, start=position, timeout_s=wait_s):
                        if isinstance(event, Started) and event.stage == "infer":
                            starts[one.job_id] += 1
                        if isinstance(event, Done):
                            ends[one.job_id] = time.monotonic()
                except WaitTimeout:
                    continue
        return {
            "jobs": batch,
            "killed_tasks": len(killed),
            "lost": batch - len(ends),
            "not_back_yet": 0,
            "killed_tasks_back_s": [round(ends[job] - at, 1) for job, at in killed.items() if job in ends],
            "started_twice": sum(count - 1 for count in starts.values() if count > 1),
        }

    @staticmethod
    def _submit(client: Client, job: dict[str, Any]) -> Submission:
        params = {"min_resolution": job["size"], "seed": job["seed"]}
        return client.submit(client.job_spec(Path(job["portrait"]), Path(job["speech"]), params=params))


@contextmanager
def pipeline() -> Iterator[Pipeline]:
    """The stack of this checkout."""
    with stack_of(HERE) as stack:
        yield Pipeline(stack)
