"""Waits of one task, for an object store that does not answer or a full disk: what they report and what ends them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Self

import structlog

from shared.messages.codes import Code
from shared.runtime.disposition import JobContext
from shared.runtime.failures import Abandoned, JobCancelled

SHOWN_AFTER_S = 2.0
"""A wait that lasts so long is published: most retries succeed before, and nobody needs to read of those."""
LOOK_S = 0.1
"""How soon a wait notices that it should end."""


def never() -> bool:
    """No."""
    return False


class TaskWaits:
    """The waits of one task, in whatever threads work at it. Published once while any of them lasts."""

    def __init__(
        self,
        stage: str = "",
        publish: Callable[[JobContext, Code, str], None] = lambda *_: None,
        stopping: Callable[[], bool] = never,
        revoking: Callable[[], bool] = never,
    ) -> None:
        """``stopping``: the service ends, or the partition is lost. ``revoking``: another member waits for it.

        In both cases the record is delivered again, perhaps to a machine that need not wait.
        """
        self.stage = stage
        self.job: JobContext | None = None
        """Whose task it is, once that is known, and the attempt that is being made."""
        self.settled = False
        """The outcome is on the broker: what the task still waits for, as cleaning up, is no news of the job."""
        self.stopping = stopping
        self.revoking = revoking
        self.cancelled: Callable[[], bool] = never
        self._publish = publish
        self._lock = Lock()
        self._shown: set[Wait] = set()

    def show(self, wait: "Wait", code: Code, message: str) -> None:
        """Publish that the job waits, unless another thread's wait has."""
        with self._lock:
            first = not self._shown
            self._shown.add(wait)
        if first and self.job is not None and not self.settled:
            self._publish(self.job, code, message)

    def forget(self, wait: "Wait") -> None:
        """Note that the wait is over; the next one is published again."""
        with self._lock:
            self._shown.discard(wait)


class Wait:
    """One wait of the current task; use as a context manager, in the thread that waits."""

    def __init__(self) -> None:
        self.task = _TASK.get() or TaskWaits()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.task.forget(self)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._started

    def show(self, code: Code, message: str) -> None:
        """Publish the reason, once the wait has lasted long enough."""
        if self.seconds >= SHOWN_AFTER_S:
            self.task.show(self, code, message)

    def sleep(self, seconds: float, *, patient_s: float = 0.0, yields: bool = False) -> None:
        """Sleep. Raises JobCancelled, and Abandoned when waiting is not worth it any more.

        That is so once the service ends and the wait is ``patient_s`` old; with ``yields`` also once another member of
        the group waits for the partition.
        """
        until = time.monotonic() + seconds
        while True:
            if self.task.cancelled():
                raise JobCancelled("the job was cancelled while it waited")
            if (self.seconds >= patient_s and self.task.stopping()) or (yields and self.task.revoking()):
                raise Abandoned("the service ends, or the partition goes to another member, while the task waits")
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(LOOK_S, left))


_TASK: ContextVar[TaskWaits | None] = ContextVar("task_waits", default=None)


@contextmanager
def task_waits(waits: TaskWaits) -> Iterator[TaskWaits]:
    """Make every wait in the block, and in threads that copy its context, one of this task."""
    token = _TASK.set(waits)
    try:
        yield waits
    finally:
        _TASK.reset(token)


@contextmanager
def cancellable(cancelled: Callable[[], bool]) -> Iterator[None]:
    """While the block lasts, a wait of the current task ends with JobCancelled once ``cancelled()``.

    Not around the end of a job: the event that says ``cancelled`` has to wait for the object store, too.
    """
    task = _TASK.get() or TaskWaits()
    before, task.cancelled = task.cancelled, cancelled
    try:
        yield
    finally:
        task.cancelled = before


def set_settled() -> None:
    """Note that the current task's outcome is on the broker."""
    if (task := _TASK.get()) is not None:
        task.settled = True


def set_current_job(job: JobContext) -> None:
    """The current task is this job's: from here on its log lines and its waits name it."""
    if (task := _TASK.get()) is not None:
        task.job = job
    structlog.contextvars.bind_contextvars(job=job.job_id)


def current_job() -> JobContext | None:
    """The current task's job, at the attempt that is being made; None while it is not known."""
    task = _TASK.get()
    return task.job if task is not None else None
