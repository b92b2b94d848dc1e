"""Three ways to choose partitions, for tasks of known length: how much of the members' time is used.

    .venv/bin/python -m bench.routing [--members 2 3 4 8] [--seconds 0.4] [--tasks 16] [--json FILE]

Members are processes with the real consumer loop whose tasks sleep: simulated service time, so that only scheduling is
measured. Efficiency = (tasks x seconds / members) / time until the last task has ended, with all tasks sent at once to
16 partitions. Target: least-loaded >= 0.95. With 3 members the assignment is uneven. Starts its own broker.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from bench.group import Group, group
from bench.record import emit
from shared.local import stack
from shared.local.settings import LocalSettings
from shared.runtime.process.group_views import GroupViews
from shared.runtime.process.least_loaded import LeastLoaded
from shared.runtime.process.routing import RoundRobin
from shared.runtime.settings import RuntimeSettings

PARTITIONS = 16
TARGET = 0.95
Choose = Callable[[], int | None]
"""The partition of the next task; None: by the hash of its key."""


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker that ends with the block."""
    with tempfile.TemporaryDirectory() as name:
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=LocalSettings().jars)
        try:
            yield stack.up(settings, services=False).bootstrap_servers
        finally:
            stack.down(settings, purge=True)


@contextmanager
def least_loaded(made: Group) -> Iterator[Choose]:
    views = GroupViews(RuntimeSettings(bootstrap_servers=made.bootstrap_servers), {made.topic: made.name})
    stop = Event()
    thread = Thread(target=views.run, args=(stop,))
    thread.start()
    try:
        while (view := views.of(made.topic)) is None or not view.owners:
            time.sleep(0.05)
        router = LeastLoaded(views.of)
        yield lambda: router.choose(made.topic, made.partitions)
    finally:
        stop.set()
        thread.join()


@contextmanager
def round_robin(made: Group) -> Iterator[Choose]:
    router = RoundRobin()
    yield lambda: router.choose(made.topic, made.partitions)


@contextmanager
def by_key(_: Group) -> Iterator[Choose]:
    yield lambda: None


ARMS = {"least-loaded": least_loaded, "round-robin": round_robin, "key hashing": by_key}


def efficiency(servers: str, arm: str, members: int, seconds: float, tasks: int) -> float:
    """The share of the ideal throughput that the arm reaches with ``tasks`` tasks a member."""
    with group(servers, "consumer", PARTITIONS) as made:
        for _ in range(members):
            made.member()
        made.wait_for_assignment(members)
        with ARMS[arm](made) as choose:
            start = time.monotonic()
            keys = [uuid.uuid4().hex.encode() for _ in range(members * tasks)]
            places = made.send_each(seconds, [(key, choose()) for key in keys])
            made.wait_for_end(places)
        took = max(event.at for event in made.of("end")) - start
        if made.starts().total() != len(places):
            raise SystemExit("a task was started twice")
    return tasks * seconds / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[2, 3, 4, 8])
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--tasks", type=int, default=16, help="for each member")
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {"simulated_s": options.seconds, "partitions": PARTITIONS, "target": TARGET}
    with broker() as servers:
        for members in options.members:
            figures[f"{members} members"] = {
                arm: round(efficiency(servers, arm, members, options.seconds, options.tasks), 3) for arm in ARMS
            }
    figures["met"] = all(figures[f"{members} members"]["least-loaded"] >= TARGET for members in options.members)
    emit("routing", figures)


if __name__ == "__main__":
    main()
