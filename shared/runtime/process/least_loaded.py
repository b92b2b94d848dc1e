"""Least-loaded routing: a task goes to a partition whose owner has the fewest unfinished tasks.

The load of an owner is the lag of all its partitions, which includes the tasks it works on: an empty partition of a
busy owner is not free. For an interactive task the bulk tasks of an owner count as the one that may occupy it; for a
bulk task all of both lanes count. Round-robin can't know that, and leaves members idle where owners hold unequal
numbers of partitions, tasks take unequal time or a member is slow.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from threading import Lock

from shared.messages.lanes import BULK, lane_of, other_lane
from shared.messages.pipeline import Step
from shared.runtime.process.group_views import GroupView, GroupViews, groups_of
from shared.runtime.process.routing import RoundRobin, Router, stride
from shared.runtime.settings import RuntimeSettings

MAX_AGE_S = 5.0
"""Age from which a view is not used any more, seconds: a queue may have drained, an owner have left."""
IN_FLIGHT_S = 0.05
"""Time until a sent task counts in a view, seconds: a view that is read within this time after a choice may not have
the task. A task that is counted twice does less harm than an owner that looks free."""

MAX_QUEUE = 1.5, 2
"""A partition takes tasks up to this share of the mean, and this number of tasks more. While many owners join, the
first of them are free and own one partition each: without a limit a burst goes to these, and waits there when all are
equal."""

Views = Callable[[str], GroupView | None]
"""The newest view of the group that consumes a topic; None before the first one."""


class LeastLoaded:
    """Chooses by the newest view of the consumer group and by the own sends that the view does not have yet.

    Falls back to round-robin when there is no view, when it is older than ``MAX_AGE_S`` or when the group has no
    members. Thread-safe.
    """

    def __init__(
        self, views: Views, fallback: Router | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` returns seconds, on the clock of ``GroupView.read_at``."""
        self._views = views
        self._fallback = fallback or RoundRobin()
        self._clock = clock
        self._sends: dict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._lock = Lock()

    def choose(self, topic: str, partitions: int) -> int:
        """The partition for the next task."""
        with self._lock:
            now, view = self._clock(), self._views(topic)
            fresh = view is not None and now - view.read_at <= MAX_AGE_S
            sends = self._sends[topic]
            # A newer view has these. Sends are noted without a view, too: the next one may not have the last of them.
            counted = max(view.read_at if view is not None else -math.inf, now - MAX_AGE_S) - IN_FLIGHT_S
            while sends and sends[0][0] < counted:
                sends.popleft()
            # Also the order of partitions with equal load: it differs from replica to replica.
            chosen = self._fallback.choose(topic, partitions)
            if view is not None and fresh:
                own = [partition for _, partition in sends]
                chosen = _least(view, own, chosen, partitions, self._beside(topic))
            sends.append((now, chosen))
            return chosen

    def _beside(self, topic: str) -> Mapping[str, int]:
        """Owner -> its load by tasks of the other lane."""
        other = self._views(other_lane(topic))
        load: dict[str, int] = defaultdict(int)
        for partition, owner in other.owners.items() if other is not None else ():
            load[owner] += other.lags.get(partition, 0) if other is not None else 0
        return load if lane_of(topic) == BULK else {owner: min(1, lag) for owner, lag in load.items()}


def open_router(settings: RuntimeSettings, *steps: Step | None) -> tuple[Router, GroupViews | None]:
    """The router of the tasks that are sent to these steps, and the views whose ``run`` must be a thread; None where
    the setting or the lack of a next step needs none."""
    groups = groups_of(settings, *steps)
    if settings.routing == "round-robin" or not groups:
        return RoundRobin(), None
    views = GroupViews(settings, groups)
    return LeastLoaded(views.of), views


def longest_queue(lags: Collection[int]) -> float:
    """The number of unfinished tasks above which a partition takes no more, given those of all partitions."""
    share, more = MAX_QUEUE
    return share * sum(lags) / len(lags) + more


def _least(view: GroupView, sends: list[int], turn: int, partitions: int, beside: Mapping[str, int]) -> int:
    """The partition with the least loaded owner, without those that have much more than others; of these the emptiest,
    of these the next after ``turn``. ``turn`` when no partition has an owner. ``beside``: what the owners do for the
    other lane."""
    load = dict(view.lags)
    for partition in sends:
        load[partition] = load.get(partition, 0) + 1
    by_owner: dict[str, int] = defaultdict(int, beside)
    for partition, owner in view.owners.items():
        by_owner[owner] += load.get(partition, 0)
    step = stride(partitions)
    # The order in which round-robin would visit the partitions from its turn on.
    order = {(turn + n * step) % partitions: n for n in range(partitions)}
    owned = [partition for partition in view.owners if partition < partitions]
    most = longest_queue([load.get(p, 0) for p in owned]) if owned else 0
    return min(
        (partition for partition in owned if load.get(partition, 0) <= most),
        key=lambda p: (by_owner[view.owners[p]], load.get(p, 0), order[p]),
        default=turn,
    )
