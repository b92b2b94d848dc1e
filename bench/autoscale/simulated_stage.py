"""One stage of the simulation: its topic, its consumer group and its replicas, with the rules of the real ones.

Partition choice (least-loaded), assignment (sticky and even), dispatch (the oldest record of the own partitions into a
free slot), commits (contiguous prefix), revocation (partitions move when the running tasks among them have ended) and
drain (a replica that ends keeps its partitions until its tasks have ended) are those of `shared.runtime`.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench.autoscale.deletion_order import BUSY_COST, Pod, removal_order
from bench.autoscale.events import Events
from bench.autoscale.keda import Offsets
from bench.autoscale.tasks import StageWork
from shared.runtime.process.least_loaded import longest_queue

CHECKPOINT_S = 60.0
"""Most work that an interrupted task of an engine with checkpoints repeats, seconds."""


@dataclass(eq=False, slots=True)
class Task:
    """One record."""

    job: int
    seconds: float
    """Work left."""
    queued_at: float
    partition: int = 0
    offset: int = 0
    started_at: float = 0.0
    waited_s: float = 0.0


@dataclass(eq=False, slots=True)
class Partition:
    """A queue with its offsets."""

    queue: deque[Task] = field(default_factory=deque)
    end: int = 0
    committed: int = 0
    done: set[int] = field(default_factory=set)
    owner: "Replica | None" = None
    next_owner: "Replica | None" = None

    @property
    def lag(self) -> int:
        """Records that are not committed."""
        return self.end - self.committed

    def finish(self, offset: int) -> None:
        """Commit as far as all earlier records are done."""
        self.done.add(offset)
        while self.committed in self.done:
            self.done.remove(self.committed)
            self.committed += 1


@dataclass(eq=False, slots=True)
class Replica:
    """One pod."""

    name: str
    created_at: float
    ready_at: float | None = None
    draining: bool = False
    ended_at: float | None = None
    running: set[Task] = field(default_factory=set)


class SimulatedStage:
    """Receives tasks, works, and reports finished ones."""

    def __init__(
        self,
        events: Events,
        work: StageWork,
        partitions: int,
        drain_s: float,
        on_done: Callable[[Task], None],
        deletion_cost: bool = True,
    ) -> None:
        """``deletion_cost``: busy replicas say so, and are removed last."""
        self.work = work
        self.partitions = [Partition() for _ in range(partitions)]
        self.replicas: list[Replica] = []
        self.ended: list[Replica] = []
        self.interrupted = 0
        """Tasks that a drain has cut."""
        self._events = events
        self._drain_s = drain_s
        self._on_done = on_done
        self._deletion_cost = deletion_cost
        self._turn = 0

    @property
    def count(self) -> int:
        """Replicas that are not asked to end."""
        return sum(not replica.draining for replica in self.replicas)

    def offsets(self) -> dict[int, Offsets]:
        """What KEDA reads."""
        return {number: Offsets(each.end, each.committed) for number, each in enumerate(self.partitions)}

    def replica_seconds(self) -> float:
        """From creation to end, of all replicas so far."""
        now = self._events.now
        return sum(
            (r.ended_at if r.ended_at is not None else now) - r.created_at for r in (*self.ended, *self.replicas)
        )

    def add(self, task: Task) -> None:
        """Send a task to the partition whose owner has the fewest unfinished tasks, if it is not the longest."""
        load: dict[Replica, int] = {}
        for each in self.partitions:
            if each.owner is not None:
                load[each.owner] = load.get(each.owner, 0) + each.lag
        count = len(self.partitions)
        turn, self._turn = self._turn, self._turn + 1
        owned = [n for n, each in enumerate(self.partitions) if each.owner is not None] or range(count)
        most = longest_queue([self.partitions[n].lag for n in owned])
        owned = [n for n in owned if self.partitions[n].lag <= most]

        def key(number: int) -> tuple[float, int, int]:
            partition = self.partitions[number]
            return load[partition.owner] if partition.owner else 0, partition.lag, (number - turn) % count

        # Without an owner round-robin, as the service does.
        task.partition = min(owned, key=key) if load else turn % count
        partition = self.partitions[task.partition]
        task.offset, partition.end = partition.end, partition.end + 1
        partition.queue.append(task)
        if partition.owner is not None:
            self._dispatch(partition.owner)

    def scale(self, wanted: int) -> None:
        """Create replicas, or end those that Kubernetes would."""
        now = self._events.now
        for _ in range(wanted - self.count):
            replica = Replica(f"{len(self.ended) + len(self.replicas)}", now)
            self.replicas.append(replica)
            self._events.at(now + self.work.cold_start_s, partial(self._ready, replica))
        live = {replica.name: replica for replica in self.replicas if not replica.draining}
        cost = BUSY_COST if self._deletion_cost else 0
        pods = [Pod(r.name, r.created_at, r.ready_at, cost if r.running else 0) for r in live.values()]
        for pod in removal_order(pods)[: max(0, self.count - wanted)]:
            self._remove(live[pod.name])

    def _ready(self, replica: Replica) -> None:
        if replica.ended_at is None:
            replica.ready_at = self._events.now
            self.assign()

    def _remove(self, replica: Replica) -> None:
        replica.draining = True
        if not replica.running:
            self._end(replica)
        else:
            self._events.at(self._events.now + self._drain_s, partial(self._end, replica))

    def _end(self, replica: Replica) -> None:
        """Leave the group; what still runs is delivered again."""
        if replica.ended_at is not None:
            return
        now = self._events.now
        for task in sorted(replica.running, key=lambda task: task.offset, reverse=True):
            self.interrupted += 1
            if self.work.resumes:
                task.seconds -= max(0.0, now - task.started_at - CHECKPOINT_S)
            task.queued_at = now
            self.partitions[task.partition].queue.appendleft(task)
        replica.running.clear()
        replica.ended_at = now
        self.replicas.remove(replica)
        self.ended.append(replica)
        for partition in self.partitions:
            if partition.owner is replica:
                partition.owner = None
        self.assign()

    def assign(self) -> None:
        """Even shares for the members of the group; a partition moves only if its owner has too many."""
        members = [r for r in self.replicas if r.ready_at is not None]
        most = math.ceil(len(self.partitions) / len(members)) if members else 0
        spare = len(self.partitions) - len(members) * (most - 1)
        shares: dict[Replica, int] = dict.fromkeys(members, 0)
        homeless = []
        for partition in self.partitions:
            owner = partition.owner
            # `spare` members may have `most`, the others one less.
            if owner in shares and (shares[owner] < most - 1 or (shares[owner] < most and spare > 0)):
                shares[owner] += 1
                spare -= shares[owner] == most
                partition.next_owner = owner
            else:
                homeless.append(partition)
        for partition in homeless:
            partition.next_owner = min(members, key=lambda r: shares[r]) if members else None
            if partition.next_owner is not None:
                shares[partition.next_owner] += 1
        self._move()

    def _move(self) -> None:
        """Give partitions to their next owners where the present owner's barrier is over."""
        busy = {
            partition.owner
            for number, partition in enumerate(self.partitions)
            if partition.owner is not None
            and partition.next_owner is not partition.owner
            and any(task.partition == number for task in partition.owner.running)
        }
        for partition in self.partitions:
            if partition.owner is None or partition.owner not in busy:
                partition.owner = partition.next_owner
        for replica in self.replicas:
            self._dispatch(replica)

    def _dispatch(self, replica: Replica) -> None:
        """Start the oldest records of its partitions."""
        while not replica.draining and len(replica.running) < self.work.slots:
            own = [p for p in self.partitions if p.owner is replica and p.next_owner is replica and p.queue]
            if not own:
                return
            task = min(own, key=lambda p: p.queue[0].queued_at).queue.popleft()
            now = self._events.now
            task.started_at = now
            task.waited_s += now - task.queued_at
            replica.running.add(task)
            self._events.at(now + task.seconds, partial(self._finish, replica, task))

    def _finish(self, replica: Replica, task: Task) -> None:
        if task not in replica.running:
            return  # Interrupted in the meantime.
        replica.running.remove(task)
        self.partitions[task.partition].finish(task.offset)
        self._on_done(task)
        if replica.draining and not replica.running:
            self._end(replica)
        else:
            self._move() if any(p.next_owner is not p.owner for p in self.partitions) else self._dispatch(replica)
