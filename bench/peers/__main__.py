"""The same handlers under Celery, Dramatiq, a plain Kafka loop and Faust, and under the pipeline, in one run.

    .venv/bin/python -m bench.peers [--jobs 10] [--size 512] [--peers celery,faust] [--json FILE]

Needs ``make setup-bench``. A batch is submitted at once to two instances with one worker each (the pipeline: its four
services), with the settings that each peer's documentation recommends against losses: ``bench.peers.kills`` shows what
the others lose.
"""

from pathlib import Path
from typing import Any

from bench.peers.instances import INSTANCES, Instances, instances
from bench.peers.pipeline import pipeline
from bench.peers.run import run
from bench.realtime import HERE
from bench.record import emit
from bench.throughput import Jobs, plain, plain_batch

BATCH_S = 300.0
TARGET = 0.9
"""Videos a minute of the pipeline / those of a peer."""


def named(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The jobs with the ids that the journal names."""
    return [{**job, "id": f"job-{job['seed']}"} for job in jobs]


def throughput(made: Instances, jobs: Jobs, batch: int) -> dict[str, Any]:
    """A warm-up, then a batch: videos a minute, and CPU seconds of instances and server."""
    warm = named(jobs.take(2 * INSTANCES))
    made.submit(warm)
    made.wait(lambda: len(made.ended()) == len(warm), BATCH_S, "finish the warm-up")
    work_s, server_s = made.cpu_s(), made.server.cpu_s()
    made.submit(named(jobs.take(batch)))
    made.wait(lambda: len(made.ended()) == len(warm) + batch, BATCH_S, "finish the batch")
    work_s, server_s = made.cpu_s() - work_s, made.server.cpu_s() - server_s
    journal = made.journal()
    wall = journal[-1]["at"] - [entry["at"] for entry in journal if entry["event"] == "submit"][-1]
    return {
        "wall_s": round(wall, 2),
        "videos_a_minute": round(60 * batch / wall, 1),
        "cpu_s_a_job": {"instances": round(work_s / batch, 2), "server": round(server_s / batch, 2)},
    }


def measure(peers: list[str], jobs: Jobs, batch: int, folder: Path) -> dict[str, Any]:
    """Every arm once, the plain processes first, then the pipeline."""
    with plain(HERE) as processes:
        plain_batch(processes, jobs.take(INSTANCES))
        alone = plain_batch(processes, jobs.take(batch))
    cpu = {"instances": alone["cpu_s_a_job"]["all"], "server": 0.0}
    figures: dict[str, Any] = {"plain processes": {**alone, "cpu_s_a_job": cpu}}
    with pipeline() as ours:
        figures["pipeline"] = ours.throughput(jobs, batch)
    for name in peers:
        with instances(name, folder / name, reliable=True) as made:
            figures[name] = throughput(made, jobs, batch)
    return figures


def main() -> None:
    options, peers, found = run(__doc__, 10, measure)
    ours = found["pipeline"]["videos_a_minute"]
    ratios = {peer: round(ours / found[peer]["videos_a_minute"], 2) for peer in peers}
    about = {"jobs": options.jobs, "size": options.size, "instances": INSTANCES}
    targets = {"target": TARGET, "met": all(ratio >= TARGET for ratio in ratios.values())}
    emit("peers", {**about, "throughput": found, "pipeline_to_peer": {**ratios, **targets}})


if __name__ == "__main__":
    main()
