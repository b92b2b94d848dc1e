"""A pipeline in virtual time whose services choose their next record with the product's own lanes and tenants.

Deterministic for a seed. Each service of a stage has one slot; a task goes to the service with the fewest interactive
records and at most one bulk one counted, as least-loaded routing does.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import TopicPartition

from shared.messages.lanes import BULK, INTERACTIVE, Lane, lane_topic
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.lane_queues import LaneQueues
from shared.runtime.consume.owned_partition import OwnedPartition
from shared.runtime.consume.share import Share

STAGES = {"audio": 0.16, "face": 0.10, "infer": 2.9, "encode": 1.9}
"""Seconds of a task, as docs/autoscaling.md has them."""
READ_AHEAD = 2000


def _partition(lane: Lane) -> OwnedPartition:
    topic = lane_topic("simulated", lane)
    owned = OwnedPartition(PartitionAssignment(topic, 0))
    owned.restore(TopicPartition(topic, 0, 0))
    return owned


PARTITIONS = {lane: _partition(lane) for lane in (INTERACTIVE, BULK)}


@dataclass
class Job:
    """One render; times are seconds since the start."""

    tenant: str
    lane: Lane
    submitted: float
    factor: float = 1.0
    """Of the seconds of every task."""
    done: float = -1.0

    @property
    def took(self) -> float:
        return self.done - self.submitted


@dataclass
class Service:
    """One slot and the records that wait for it. ``fifo``: without lanes and tenants, for comparison."""

    fifo: bool
    queues: LaneQueues = field(default_factory=lambda: LaneQueues(READ_AHEAD))
    jobs: dict[int, Job] = field(default_factory=dict)
    busy: bool = False
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def add(self, job: Job) -> None:
        number = next(self.numbers)
        owned = PARTITIONS[INTERACTIVE if self.fifo else job.lane]
        record = Record(*owned.name, number, None, None, [], 0)
        self.jobs[number] = job
        self.queues.add(Delivery(number, record, owned, Share("all" if self.fifo else job.tenant)))

    def next(self) -> Job | None:
        found = self.queues.next(lambda one: one.may_start(0.0))
        if found is None:
            return None
        self.queues.take(found)
        return self.jobs.pop(found.number)

    def load(self, lane: Lane) -> int:
        waiting = [job.lane for job in self.jobs.values()]
        bulk = waiting.count(BULK)
        if self.fifo or lane == BULK:
            return len(waiting) + self.busy
        return len(waiting) - bulk + max(self.busy, min(1, bulk))


class Pipeline:
    """Stages of services."""

    def __init__(self, services: Sequence[int], seconds: Sequence[float], *, fifo: bool = False) -> None:
        self._stages = [[Service(fifo) for _ in range(count)] for count in services]
        self._seconds = seconds
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def run(self, jobs: Sequence[Job], until: Callable[[], bool]) -> None:
        """Let the jobs arrive, and work until ``until`` or until nothing is left."""
        for job in jobs:
            self._at(job.submitted, lambda now, job=job: self._arrive(0, job, now))  # type: ignore[misc]
        while self._events and not until():
            now, _, event = heapq.heappop(self._events)
            event(now)

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _arrive(self, stage: int, job: Job, now: float) -> None:
        service = min(self._stages[stage], key=lambda one: one.load(job.lane))
        service.add(job)
        self._start(stage, service, now)

    def _start(self, stage: int, service: Service, now: float) -> None:
        if service.busy or (job := service.next()) is None:
            return
        service.busy = True
        self._at(now + self._seconds[stage] * job.factor, lambda now: self._end(stage, service, job, now))

    def _end(self, stage: int, service: Service, job: Job, now: float) -> None:
        service.busy = False
        if stage + 1 < len(self._stages):
            self._arrive(stage + 1, job, now)
        else:
            job.done = now
        self._start(stage, service, now)


def arrivals(
    rng: random.Random, count: int, every_s: float, tenant: str = "people", lane: Lane = INTERACTIVE
) -> list[Job]:
    """Jobs at random times, one in ``every_s`` seconds on average, of 0.5 to 1.5 times the usual length."""
    times = itertools.accumulate(rng.expovariate(1 / every_s) for _ in range(count))
    return [Job(tenant, lane, time, rng.uniform(0.5, 1.5)) for time in times]


def backlog(
    rng: random.Random, count: int, tenant: str = "catalogue", lane: Lane = BULK, factor: float = 1.0
) -> list[Job]:
    """Jobs that all wait at the start; ``factor``: how much longer they are than others."""
    return [Job(tenant, lane, 0.0, rng.uniform(0.5, 1.5) * factor) for _ in range(count)]
