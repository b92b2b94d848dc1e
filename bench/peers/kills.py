"""What a SIGKILL in the middle of a task loses: with a peer's defaults, with its settings against it, and with ours.

    .venv/bin/python -m bench.peers.kills [--jobs 8] [--size 512] [--peers celery,faust] [--json FILE]

Needs ``make setup-bench``. A batch is under way at two instances; one is killed with all its processes, as by a machine
that goes away, and started again at once; then the same once more. A job is lost when it has no video and the server no
longer has it; what the server still has after 150 s is not back yet. Of the pipeline the infer service is killed twice;
its supervisor starts it again.
"""

import time
from pathlib import Path
from typing import Any

from bench.peers.__main__ import named
from bench.peers.instances import INSTANCES, PEERS, Instances, instances
from bench.peers.pipeline import pipeline
from bench.peers.run import run
from bench.record import emit
from bench.throughput import Jobs

KILLS = 2
START_S = 75.0
WAIT_S = 150.0
INTO_TASK_S = 0.5


def losses(made: Instances, jobs: Jobs, batch: int) -> dict[str, Any]:
    """Kill an instance in the middle of a task, twice; what became of the jobs."""
    made.submit(named(jobs.take(batch)))
    killed: list[tuple[str, float]] = []
    for number in range(KILLS):
        made.wait(lambda: bool(made.running()), START_S, "start a task")
        time.sleep(INTO_TASK_S)
        pid, job = next(iter(made.running().items()), (0, ""))
        if not pid:
            raise SystemExit(f"no task of {made.peer.module} takes {INTO_TASK_S} s: choose a larger size")
        made.kill(pid)
        killed.append((job, time.monotonic()))
        made.start()
        made.await_ready(INSTANCES + 1 + number)
    made.becomes(lambda: not made.running() and not made.waiting(), WAIT_S)
    missing = batch - len(made.ended())
    late = min(missing, made.waiting())
    ends = {entry["job"]: entry["at"] for entry in made.journal() if entry["event"] == "end"}
    return {
        "jobs": batch,
        "killed_tasks": len(killed),
        "lost": missing - late,
        "not_back_yet": late,
        "killed_tasks_back_s": [round(ends[job] - at, 1) for job, at in killed if job in ends],
        "started_twice": sum(count - 1 for count in made.starts().values() if count > 1),
    }


def measure(peers: list[str], jobs: Jobs, batch: int, folder: Path) -> dict[str, Any]:
    """Every peer with its defaults and with the recommended settings; the pipeline has one setting."""
    with pipeline() as ours:
        figures: dict[str, Any] = {"pipeline": ours.losses(jobs, batch, KILLS, WAIT_S)}
    for name in peers:
        for label, reliable in (("default", False), ("reliable", True)):
            with instances(name, folder / f"{name}-{label}", reliable) as made:
                figures[f"{name}, {label}"] = losses(made, jobs, batch)
    return figures


def main() -> None:
    options, peers, found = run(__doc__, 8, measure)
    settings = {peer: PEERS[peer].reliable for peer in peers}
    emit("peers_kills", {"size": options.size, "kills": found, "reliable_settings": settings})


if __name__ == "__main__":
    main()
