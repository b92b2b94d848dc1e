"""Dramatiq with Redis: one worker process with one thread an instance."""

import os
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import work


class Loading(dramatiq.Middleware):  # type: ignore[misc]  # Not installed where types are checked.
    """Loads the networks before a worker process takes tasks."""

    def before_worker_boot(self, *_: object) -> None:
        work.load()


settings = {"heartbeat_timeout": 10_000, "maintenance_chance": 1_000_000} if work.is_reliable() else {}
broker = RedisBroker(url=os.environ.get("PEERS_REDIS"), **settings)
broker.add_middleware(Loading())
dramatiq.set_broker(broker)
render = dramatiq.actor(work.run, actor_name="render")


def submit(jobs: list[dict[str, Any]]) -> None:
    """Send a message for each job."""
    for job in jobs:
        render.send(job)
