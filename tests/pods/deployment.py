"""What the controllers of Kubernetes do with a Deployment: replicas, and the rolling update of its strategy."""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.pods.pod import Object, Pod

_numbers = itertools.count()


class Deployment:
    """The pods of one rendered Deployment; ``make`` starts one of its template under a name."""

    def __init__(self, rendered: Object, make: Callable[[str, Object], Pod]) -> None:
        self.rendered = rendered
        self.pods: list[Pod] = []
        self.ended: list[Pod] = []
        self._make = make
        self._ending: list[Future[None]] = []
        self._enders = ThreadPoolExecutor(max_workers=8, thread_name_prefix="stop")

    @property
    def name(self) -> str:
        return str(self.rendered["metadata"]["name"])

    def scale(self, replicas: int) -> None:
        """Start pods and wait until they are ready, or end the youngest; those that end are not waited for."""
        while len(self.pods) > replicas:
            self._end(self.pods[-1])
        started = [self._start() for _ in range(replicas - len(self.pods))]
        for pod in started:
            pod.await_ready()

    def roll_out(self, rendered: Object) -> None:
        """Replace every pod by one of the new template: at most maxSurge more and maxUnavailable fewer at a time."""
        self.rendered = rendered
        old, wanted = list(self.pods), len(self.pods)
        strategy = rendered["spec"]["strategy"]
        if strategy["type"] == "Recreate":
            self.scale(0)
            self.await_ended()
            self.scale(wanted)
            return
        rolling = strategy["rollingUpdate"]
        most = wanted + _count(rolling["maxSurge"], wanted, math.ceil)
        fewest = wanted - _count(rolling["maxUnavailable"], wanted, math.floor)
        while old:
            while old and len(self.pods) > fewest and len(self.pods) >= most:
                self._end(old.pop(0))
            started = [self._start() for _ in range(min(most - len(self.pods), wanted - self._current(rendered)))]
            for pod in started:
                pod.await_ready()
            if old and len(self.pods) > fewest:
                self._end(old.pop(0))
        self.scale(wanted)

    def await_ended(self) -> list[Pod]:
        """Wait for the pods that were told to end; returns all that ended so far."""
        for one in self._ending:
            one.result()
        self._ending.clear()
        return self.ended

    def _current(self, rendered: Object) -> int:
        return sum(pod.template is rendered["spec"]["template"] for pod in self.pods)

    def _start(self) -> Pod:
        pod = self._make(f"{self.name}-{next(_numbers)}", self.rendered["spec"]["template"])
        self.pods.append(pod)
        return pod

    def _end(self, pod: Pod) -> None:
        self.pods.remove(pod)
        self._ending.append(self._enders.submit(self._stop, pod))

    def _stop(self, pod: Pod) -> None:
        pod.stop()
        self.ended.append(pod)


def _count(value: Any, replicas: int, rounded: Callable[[float], int]) -> int:
    """A number of pods, or a share of them such as 25%."""
    if isinstance(value, str):
        return rounded(replicas * float(value.removesuffix("%")) / 100)
    return int(value)
