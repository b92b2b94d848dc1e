"""What the overlap of encode and infer saves: from infer's end to the video, and from the request to the first picture.

    .venv/bin/python -m bench.overlap [--jobs 5] [--size 512] [--json FILE]

Two local stacks of this checkout, one with ``LIPSTAGE_OVERLAP=false``; jobs run alone and in turns, nothing comes from
the cache. ``tail``: from infer's event ``finished`` to ``done``, by the clock of the services. ``first_playable``: from
the submission until the playlist of a preview names its first segment, which holds more than a second.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from bench.realtime import HERE, unseen
from bench.record import emit
from bench.stack_of import stack_of
from bench.versions import deployment
from shared.client import Client
from shared.messages.events import AnyEvent, Done, Finished

TARGET = 4.0
ALIAS, BUCKET = "previews", "lipstage-previews"
LOOK_S = 0.02


@contextmanager
def client_of(overlap: bool) -> Iterator[Client]:
    """A client of a stack of its own."""
    os.environ["LIPSTAGE_OVERLAP"] = str(overlap).lower()
    os.environ["LIPSTAGE_OUTPUT_BUCKETS"] = json.dumps({ALIAS: BUCKET})
    with stack_of(HERE) as stack, Client(deployment(stack.lipstage("config", "--env")), service_name="bench") as client:
        client.check()
        yield client


def render(client: Client, size: int, seed: int, *, preview: bool = False) -> dict[str, float]:
    """One job alone; seconds of its parts."""
    ends: dict[str, int] = {}

    def note(event: AnyEvent) -> None:
        if isinstance(event, Finished):
            ends[event.stage] = event.time_ms

    output = {"bucket": ALIAS, "prefix": "default/previews", "preview": True} if preview else None
    with tempfile.TemporaryDirectory() as folder:
        fields: dict[str, Any] = {"params": {"min_resolution": size, "seed": seed}, "output": output}
        spec = client.job_spec(*unseen(Path(folder)), **fields)
        start, since = client.position(), time.monotonic()
        job = client.submit(spec)
        found: list[float] = []
        watch = threading.Thread(target=_watch, args=(client, job.job_id, since, found))
        if preview:
            watch.start()
        end = client.wait(job, start=start, on_event=note)
        wall_s = time.monotonic() - since
        if preview:
            watch.join()
    if not isinstance(end, Done):
        raise SystemExit(f"the job is not done: {end}")
    figures = {"wall_s": wall_s, "tail_s": (end.time_ms - ends["infer"]) / 1000}
    return figures | ({"first_playable_s": found[0]} if preview else {})


def _watch(client: Client, job: str, since: float, found: list[float]) -> None:
    """Look for the playlist until it is there."""
    while time.monotonic() < since + 120:
        try:
            client.connection.s3.head_object(Bucket=BUCKET, Key=f"default/previews/{job}/index.m3u8")
        except ClientError:
            time.sleep(LOOK_S)
        else:
            found.append(time.monotonic() - since)
            return


def main() -> None:
    """Measure and print the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=5)
    parser.add_argument("--size", type=int, default=512)
    options, _ = parser.parse_known_args()
    runs: dict[str, list[dict[str, float]]] = {"after": [], "before": []}
    previews = []
    with ExitStack() as stacks:
        clients = {"before": stacks.enter_context(client_of(False)), "after": stacks.enter_context(client_of(True))}
        for client in clients.values():
            render(client, options.size, 0)  # Everything warm.
        for seed in range(1, options.jobs + 1):
            for name in ("before", "after") if seed % 2 else ("after", "before"):
                runs[name].append(render(clients[name], options.size, seed))
        previews = [render(clients["after"], options.size, 100 + n, preview=True) for n in range(options.jobs)]

    def median(rows: list[dict[str, float]], name: str) -> float:
        return round(statistics.median(row[name] for row in rows), 3)

    tails = {name: median(rows, "tail_s") for name, rows in runs.items()}
    figures = {
        "tail_s": {**tails, "ratio": round(tails["before"] / tails["after"], 2), "target": TARGET},
        "wall_s": {name: median(rows, "wall_s") for name, rows in runs.items()},
        "preview": {name: median(previews, name) for name in ("first_playable_s", "wall_s", "tail_s")},
        "runs": {name: [{k: round(v, 3) for k, v in row.items()} for row in rows] for name, rows in runs.items()},
    }
    emit("overlap", figures)


if __name__ == "__main__":
    main()
