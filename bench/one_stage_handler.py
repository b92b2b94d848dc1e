"""The handler of `bench.one_stage`: it notes its runs and writes 1 KiB.

Each run is a line in the file ``LIPSTAGE_BENCH_RUNS``: job id and monotonic clock. The label ``do`` of a job chooses
what it does: ``crash`` kills the worker process in the first run, ``sleep`` takes as many ``seconds`` as the label of
this name. Imports as little as a stage's handler.
"""

import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel

from shared.slot.api import Context, Handler, Result, Task

RUNS = "LIPSTAGE_BENCH_RUNS"
UNCONFINED = {"LIPSTAGE_CONFINEMENT": "off"}
"""Of a service with this handler: it writes to a file of the benchmark."""


class Metadata(BaseModel):
    """The stage has none."""


def handle(context: Context, task: Task) -> Result:
    """Note the run, then write 1 KiB."""
    job = task.job
    runs = Path(os.environ[RUNS])
    first = job.job_id not in runs.read_text()
    with runs.open("a") as file:
        file.write(f"{job.job_id} {time.monotonic()}\n")
    if job.request.labels.get("do") == "crash" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.request.labels.get("do") == "sleep":
        time.sleep(float(job.request.labels["seconds"]))
    blob = context.scratch / "blob"
    blob.write_bytes(os.urandom(1024))
    return Result(metadata=Metadata(), files={"blob": blob})


def load() -> Handler:
    """Nothing to load."""
    return handle
