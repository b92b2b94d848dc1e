"""Members that are restarted every two seconds: how much of the calm group's throughput is left, in both protocols.

    .venv/bin/python -m bench.rebalance_storm [--members 8] [--seconds 30] [--json FILE]

Tasks sleep one second. A bounce is a SIGTERM, a drain, and a new member. Targets: KIP-848 >= 70 % of calm, repeated
starts <= bounces, none lost. Classic (cooperative-sticky) is measured beside it. Starts its own broker.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.group import group
from bench.record import emit
from bench.routing import PARTITIONS, broker
from shared.runtime.kafka_config import Protocol

EVERY_S = 2.0
TASK_S = 1.0
TARGET = 0.70
PROTOCOLS: tuple[Protocol, ...] = ("consumer", "classic")


def run(servers: str, protocol: Protocol, members: int, seconds: float, storm: bool) -> dict[str, Any]:
    """Tasks that end in ``seconds`` with or without the storm; then every task is waited for."""
    with group(servers, protocol, PARTITIONS) as made, ThreadPoolExecutor() as leaving:
        for _ in range(members):
            made.member()
        made.wait_for_assignment(members)
        # A few more than a calm group can do, so that nobody runs out of tasks.
        each = int(members * seconds / TASK_S / PARTITIONS) + 3
        start = time.monotonic()
        places = made.send(TASK_S, [p for _ in range(each) for p in range(PARTITIONS)])
        bounces = 0
        while (now := time.monotonic()) < start + seconds:
            if storm and now >= start + (bounces + 1) * EVERY_S:
                leaving.submit(made.members[bounces].terminate)
                made.member()
                bounces += 1
            time.sleep(0.05)
        ended = sum(start <= event.at < start + seconds for event in made.of("end"))
        made.wait_for_end(places)  # Raises when one is lost.
        repeated = made.starts().total() - len(places)
    return {"ended": ended, "bounces": bounces, "repeated_starts": repeated, "lost": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {"members": options.members, "seconds": options.seconds, "target": TARGET}
    with broker() as servers:
        for protocol in PROTOCOLS:
            calm = run(servers, protocol, options.members, options.seconds, storm=False)
            storm = run(servers, protocol, options.members, options.seconds, storm=True)
            ratio = round(storm["ended"] / calm["ended"], 2)
            figures[protocol] = {"calm": calm, "storm": storm, "ratio": ratio}
    best = figures["consumer"]
    figures["met"] = best["ratio"] >= TARGET and best["storm"]["repeated_starts"] <= best["storm"]["bounces"]
    emit("rebalance_storm", figures)


if __name__ == "__main__":
    main()
