"""Celery with Redis: one prefork worker process an instance."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from bench.peers import work

app = Celery("peers", broker=os.environ.get("PEERS_REDIS"))
app.conf.worker_proc_alive_timeout = 60  # Loading the networks takes longer than the 4 s of the default.
if work.is_reliable():
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": 30},
    )
render = app.task(name="render")(work.run)


def _load(**_: object) -> None:
    work.load()


worker_process_init.connect(_load, weak=False)


def submit(jobs: list[dict[str, Any]]) -> None:
    """Send a task for each job."""
    for job in jobs:
        render.delay(job)
