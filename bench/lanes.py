"""Lanes and tenants: what interactive jobs wait for under bulk load, and a small tenant beside one 100 times as large.

    .venv/bin/python -m bench.lanes [--simulated] [--seconds 0.1] [--jobs 200] [--json FILE]

Simulated: the four stages in virtual time with their usual seconds, over three seeds (`bench.simulated_lanes`).
Measured: two members with the real consumer loop, least-loaded routing and a broker of its own, whose tasks sleep:
simulated service time, so that only scheduling is measured. Target: p99 of interactive jobs under bulk load at most
twice that without. Ratios of the same run are printed, because the machine's load moves both.
"""

import argparse
import json
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, quantiles
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.record import emit
from bench.routing import broker
from bench.simulated_lanes import STAGES, Job, Pipeline, arrivals, backlog
from shared.messages.lanes import BULK, INTERACTIVE, LANES, Lane, lane_topic
from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.consumer_loop import ConsumerLoop
from shared.runtime.kafka_config import consumer_config, producer_config
from shared.runtime.process.group_views import GroupViews
from shared.runtime.process.least_loaded import LeastLoaded
from shared.runtime.settings import RuntimeSettings

TARGET = 2.0
SEEDS = (1, 2, 3)
SERVICES = (1, 1, 2, 2)
MEMBERS = 2
PARTITIONS = 16
WAIT_S = 600.0


def p(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def simulate(jobs: list[Job], wanted: Sequence[Job], *, fifo: bool = False) -> list[float]:
    """Seconds that the wanted jobs took, from submit to done."""
    Pipeline(SERVICES, list(STAGES.values()), fifo=fifo).run(jobs, lambda: wanted[-1].done > 0 and _done(wanted))
    return [job.took for job in wanted]


def _done(jobs: Sequence[Job]) -> bool:
    return all(job.done > 0 for job in jobs)


def simulated(seed: int) -> dict[str, Any]:
    """Ratios of one seed. Interactive jobs come every 5 s: they use 0.29 of infer."""

    def people() -> list[Job]:
        return arrivals(random.Random(seed), 1000, 5.0)

    def loaded(count: int, factor: float = 1.0, *, fifo: bool = False) -> list[float]:
        wanted = people()
        return simulate([*backlog(random.Random(seed), count, factor=factor), *wanted], wanted, fifo=fifo)

    alone = people()
    base = simulate(alone, alone)
    rush = arrivals(random.Random(seed), 1500, 0.5)
    bulk = backlog(random.Random(seed), 400)
    simulate([*bulk, *rush], rush)
    under_way = [job for job in bulk if 0 < job.done <= rush[-1].submitted]
    rest = [job for job in rush if 0 < job.done <= rush[-1].submitted]

    def tenants(*, fifo: bool) -> float:
        small = arrivals(random.Random(seed), 10, 60.0, "small")
        large = backlog(random.Random(seed), 1000, "large", INTERACTIVE)
        return mean(simulate([*large, *small], small, fifo=fifo))

    few = arrivals(random.Random(seed), 10, 60.0, "small")
    own = mean(simulate(few, few))
    return {
        "p99 interactive, bulk load / none": round(p(loaded(6000), 99) / p(base, 99), 2),
        "p50 interactive, bulk load / none": round(p(loaded(6000), 50) / p(base, 50), 2),
        "the same with bulk jobs 5 times as long": round(p(loaded(2000, 5.0), 99) / p(base, 99), 2),
        "the same without lanes, 500 bulk jobs": round(p(loaded(500, fifo=True), 99) / p(base, 99), 2),
        "bulk share of the jobs done while interactive ones queue up": round(
            len(under_way) / (len(under_way) + len(rest)), 3
        ),
        "small tenant beside 100 times as many jobs / alone": round(tenants(fifo=False) / own, 2),
        "the same first come, first served": round(tenants(fifo=True) / own, 2),
    }


@dataclass
class Members:
    """Members of one group in this process; each has one slot, whose tasks sleep."""

    settings: RuntimeSettings
    topic: str
    done: dict[str, float] = field(default_factory=dict)
    """When each job ended, monotonic seconds."""

    def __post_init__(self) -> None:
        self.count = 1
        self.group = f"group-{self.topic}"
        self.topics = [lane_topic(self.topic, lane) for lane in LANES]
        self.news = threading.Condition()
        self.stop = threading.Event()
        self.loops: list[ConsumerLoop] = []
        self.threads: list[threading.Thread] = []
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in self.topics]).values():
            future.result(30)
        self.views = GroupViews(self.settings, dict.fromkeys(self.topics, self.group))
        self.router = LeastLoaded(self.views.of)
        self.producer = Producer(producer_config(self.settings, "lanes"))

    def start(self) -> None:
        for _ in range(MEMBERS):
            completions = Completions()
            consumer: Any = Consumer(consumer_config(self.settings, "lanes", self.group, "consumer"))
            loop = ConsumerLoop(consumer, self.topics, Slot(self, completions), completions, 10.0)
            self.loops.append(loop)
            self.threads.append(threading.Thread(target=loop.run, args=(self.stop, 0.0)))
        self.threads.append(threading.Thread(target=self.views.run, args=(self.stop,)))
        for thread in self.threads:
            thread.start()
        complete = set(range(PARTITIONS))
        while not all((view := self.views.of(name)) and view.owners.keys() == complete for name in self.topics):
            self.stop.wait(0.05)

    def send(self, job: str, tenant: str, lane: Lane, seconds: float) -> None:
        topic = lane_topic(self.topic, lane)
        value = json.dumps({"tenant": tenant, "job": job, "seconds": seconds}).encode()
        self.producer.produce(topic, value, job.encode(), self.router.choose(topic, PARTITIONS))
        self.producer.poll(0)

    def wait(self, jobs: Sequence[str]) -> None:
        with self.news:
            if not self.news.wait_for(lambda: all(job in self.done for job in jobs), WAIT_S):
                raise SystemExit("jobs are missing")

    def close(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Slot:
    """One slot of a member."""

    def __init__(self, members: Members, completions: Completions) -> None:
        self.count = 1
        self._members = members
        self._completions = completions
        self._threads = ThreadPoolExecutor(1)

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        self._threads.submit(self._work, record, assignment)

    def _work(self, record: Record, assignment: PartitionAssignment) -> None:
        task = json.loads(record.value or b"{}")
        time.sleep(task["seconds"])
        with self._members.news:
            self._members.done[task["job"]] = time.monotonic()
            self._members.news.notify_all()
        self._completions.put(Completion(record, assignment, settled=True))


@contextmanager
def members(servers: str) -> Iterator[Members]:
    made = Members(RuntimeSettings(bootstrap_servers=servers), f"lanes-{uuid.uuid4().hex[:8]}")
    made.start()
    try:
        yield made
    finally:
        made.close()


def _paced(made: Members, tenant: str, count: int, every_s: float, seconds: float, seed: int) -> list[float]:
    """Send interactive jobs at random times; returns what each took, seconds."""
    rng, sent, due = random.Random(seed), dict[str, float](), time.monotonic()
    for number in range(count):
        due += rng.expovariate(1 / every_s)
        made.stop.wait(max(0.0, due - time.monotonic()))
        job = f"{tenant}-{number}"
        sent[job] = time.monotonic()
        made.send(job, tenant, INTERACTIVE, seconds * rng.uniform(0.5, 1.5))
    made.producer.flush()
    made.wait(list(sent))
    return [made.done[job] - at for job, at in sent.items()]


def _crowd(made: Members, tenant: str, lane: Lane, count: int, seconds: float) -> list[str]:
    jobs = [f"{tenant}-{number}" for number in range(count)]
    for job in jobs:
        made.send(job, tenant, lane, seconds)
    made.producer.flush()
    return jobs


def measured(servers: str, seconds: float, count: int) -> dict[str, Any]:
    """Ratios on the real broker. Interactive jobs use 0.3 of the two slots."""
    every_s = seconds / MEMBERS / 0.3
    with members(servers) as made:
        base = _paced(made, "people", count, every_s, seconds, 1)
    with members(servers) as made:
        _crowd(made, "catalogue", BULK, int(count * every_s / seconds * MEMBERS * 2), seconds)
        loaded = _paced(made, "people", count, every_s, seconds, 1)
        bulk_done = sum(job.startswith("catalogue") for job in made.done)
    capacity = MEMBERS * count * every_s / seconds
    with members(servers) as made:
        alone = _paced(made, "small", 10, 1.0, seconds, 2)
    with members(servers) as made:
        large = _crowd(made, "large", INTERACTIVE, 1000, seconds / 4)
        began = time.monotonic()
        small = _paced(made, "small", 10, 1.0, seconds, 2)
        made.wait(large)
        large_s = max(made.done[job] for job in large) - began
    return {
        "p50 and p99 of interactive jobs alone, s": [round(p(base, 50), 3), round(p(base, 99), 3)],
        "p50 and p99 under bulk load, s": [round(p(loaded, 50), 3), round(p(loaded, 99), 3)],
        "p99 interactive, bulk load / none": round(p(loaded, 99) / p(base, 99), 2),
        "bulk jobs done meanwhile / what the slots could do in that time": round(bulk_done / capacity, 2),
        "small tenant beside 100 times as many jobs / alone": round(mean(small) / mean(alone), 2),
        "the large tenant's jobs took, s": round(large_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", action="store_true", help="without the broker")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a task")
    parser.add_argument("--jobs", type=int, default=200, help="interactive ones of each part")
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "target": f"p99 interactive, bulk load / none <= {TARGET}",
        "simulated": {f"seed {seed}": simulated(seed) for seed in SEEDS},
    }
    if not options.simulated:
        with broker() as servers:
            figures["measured"] = measured(servers, options.seconds, options.jobs)
    parts = [*figures["simulated"].values(), *([figures["measured"]] if "measured" in figures else [])]
    figures["met"] = all(part["p99 interactive, bulk load / none"] <= TARGET for part in parts)
    emit("lanes", figures)
    sys.exit(0 if figures["met"] else 1)


if __name__ == "__main__":
    main()
