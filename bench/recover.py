"""How long a task waits after its service or its worker process was killed.

    .venv/bin/python -m bench.recover [--rounds 3] [--json FILE]

Service: a member that works on a task is killed; another one is idle. Seconds from the SIGKILL until the task runs
again, with the session timeout as the floor: a broker can't know earlier. Target: floor + 5 s. Worker: the worker
process of a real stage service kills itself; seconds until the task runs again. Target: <= 1 s, with the start of a
bare process as the floor. Starts its own stack.
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from bench.group import Group, Member, group
from bench.one_stage import one_stage
from bench.record import emit
from bench.routing import broker
from shared.runtime.kafka_config import Protocol

FLOORS_S: dict[Protocol, float] = {"consumer": 6.0, "classic": 10.0}
"""Session timeouts: the local broker's for KIP-848, the runtime's for classic groups."""
LIMIT_S = 5.0


def after_a_kill(servers: str, protocol: Protocol) -> float:
    """Seconds from the kill of a member until its task runs at the other one."""
    with group(servers, protocol, 2) as made:
        made.member(), made.member()
        made.wait_for_assignment(2)
        (place,) = made.send(2.0, [0])
        made.wait(lambda: bool(made.of("start")), "the start of the task")
        killed_at = made.kill(owner(made))
        made.wait(lambda: made.starts()[place] == 2, "the second start of the task")
        made.wait_for_end([place])
        return made.of("start")[1].at - killed_at


def owner(made: Group) -> Member:
    """The member that works."""
    name = made.of("start")[0].member
    return next(member for member in made.members if member.name == name)


def after_a_crash(rounds: int) -> list[float]:
    """Seconds from the death of a worker process until its task runs again in the same service."""
    waits = []
    with one_stage() as service:
        for _ in range(rounds):
            job = service.send(service.task(do="crash"))
            service.wait(job)
            died, again = service.runs(job)
            waits.append(again - died)
    return waits


def process_start() -> float:
    """Seconds until a bare Python process has imported what a worker process imports: the floor of a restart."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import shared.slot.worker"], check=True)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    rounds = parser.parse_args().rounds
    figures: dict[str, Any] = {}
    with broker() as servers:
        for protocol, floor in FLOORS_S.items():
            waits = [after_a_kill(servers, protocol) for _ in range(rounds)]
            figures[f"service, {protocol}"] = {
                "seconds": [round(wait, 2) for wait in waits],
                "floor_s": floor,
                "target_s": floor + LIMIT_S,
                "met": max(waits) <= floor + LIMIT_S,
            }
    starts = [process_start() for _ in range(3)]
    waits = after_a_crash(3 * rounds)
    starts += [process_start() for _ in range(3)]
    figures["worker process"] = {
        "p50_s": round(statistics.median(waits), 2),
        "max_s": round(max(waits), 2),
        "floor_p50_s": round(statistics.median(starts), 2),
        "target_s": 1.0,
        "met": max(waits) <= 1.0,
    }
    emit("recover", figures)


if __name__ == "__main__":
    main()
