"""What a wait of one task reports to and what ends it early: the store is away, or the disk is full."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Self

import structlog

from shared.messages.codes import Code

if TYPE_CHECKING:
    from shared.runtime.event_publisher import JobContext

SHOWN_AFTER_S = 2.0
"""A wait that lasts so long is published: most retries succeed before, and nobody needs to read of those."""
LOOK_S = 0.1
"""How soon a wait notices that it should end."""


class Abandoned(Exception):
    """The task stops waiting because the service ends, or its partition is wanted elsewhere: nothing was settled."""


class JobCancelled(Exception):
    """The job was cancelled while it was worked on."""


def never() -> bool:
    """No."""
    return False


class TaskWaits:
    """The waits of one task, in whatever threads work at it. Published once while any of them lasts."""

    def __init__(
        self,
        stage: str = "",
        publish: "Callable[[JobContext, Code, str], None]" = lambda *_: None,
        stopping: Callable[[], bool] = never,
        wanted: Callable[[], bool] = never,
    ) -> None:
        """``stopping``: the service ends, or the partition is another's. ``wanted``: another member waits for it.

        In both cases the record is delivered again, perhaps to a machine that need not wait.
        """
        self.stage = stage
        self.job: JobContext | None = None
        self.stopping = stopping
        self.wanted = wanted
        self.cancelled: Callable[[], bool] = never
        self._publish = publish
        self._lock = Lock()
        self._shown: set[Wait] = set()

    def show(self, wait: "Wait", code: Code, message: str) -> None:
        """Publish that the job waits, unless another thread's wait has."""
        with self._lock:
            first = not self._shown
            self._shown.add(wait)
        if first and self.job is not None:
            self._publish(self.job, code, message)

    def forget(self, wait: "Wait") -> None:
        """The wait is over; the next one is published again."""
        with self._lock:
            self._shown.discard(wait)


class Wait:
    """One wait of the current task; use as a context manager, in the thread that waits."""

    def __init__(self) -> None:
        self.task = _TASK.get() or TaskWaits()
        self.begun = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.task.forget(self)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.begun

    def show(self, code: Code, message: str) -> None:
        """Publish the reason, once the wait has lasted long enough."""
        if self.seconds >= SHOWN_AFTER_S:
            self.task.show(self, code, message)

    def sleep(self, seconds: float, *, patient_s: float = 0.0, gives_way: bool = False) -> None:
        """Sleep a while. Raises JobCancelled, and Abandoned when the wait is not worth it any more.

        It is once the service ends and the wait is ``patient_s`` old; with ``gives_way`` also once another member of
        the group wants the partition.
        """
        until = time.monotonic() + seconds
        while True:
            if self.task.cancelled():
                raise JobCancelled
            if (self.seconds >= patient_s and self.task.stopping()) or (gives_way and self.task.wanted()):
                raise Abandoned("the service ends, or the partition goes to another member, while the task waits")
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(LOOK_S, left))


_TASK: ContextVar[TaskWaits | None] = ContextVar("task_waits", default=None)


@contextmanager
def task_waits(waits: TaskWaits) -> Iterator[TaskWaits]:
    """Every wait in the block, and in threads that copy its context, is this task's."""
    token = _TASK.set(waits)
    try:
        yield waits
    finally:
        _TASK.reset(token)


@contextmanager
def cancellable(cancelled: Callable[[], bool]) -> Iterator[None]:
    """While the block lasts, a wait of the current task ends with JobCancelled once ``cancelled()``.

    Not around the end of a job: the event that says ``cancelled`` has to wait for the store, too.
    """
    task = _TASK.get() or TaskWaits()
    before, task.cancelled = task.cancelled, cancelled
    try:
        yield
    finally:
        task.cancelled = before


def settled() -> None:
    """The current task's outcome is on the broker: what it still waits for, as tidying up, is no news of the job."""
    task = _TASK.get()
    if task is not None:
        task.job = None


def concerns(job: "JobContext") -> None:
    """The current task is this job's: from here on its log lines and its waits name it."""
    task = _TASK.get()
    if task is not None:
        task.job = job
    structlog.contextvars.bind_contextvars(job=job.job_id)
