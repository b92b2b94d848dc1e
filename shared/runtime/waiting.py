"""Waits of one task, for an object store that does not answer or for disk space: how they are published and ended."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import replace
from threading import Lock
from typing import Self

import structlog

from shared.messages.codes import Code
from shared.runtime.disposition import JobContext
from shared.runtime.failures import Abandoned, JobCancelled
from shared.telemetry.propagation import span_id, trace_id

SHOWN_AFTER_S = 2.0
"""A wait is published after this time, seconds: most retries succeed earlier."""
WORK_MARGIN_S = 10.0
"""A wait during an attempt ends so long before the attempt's limit, at which its worker process is killed, seconds."""
CHECK_S = 0.1
"""How often a wait checks whether it must end, seconds."""


def never() -> bool:
    """Always False."""
    return False


class TaskWaits:
    """The waits of one task, in all its threads. Concurrent waits are published as one."""

    def __init__(
        self,
        stage: str = "",
        publish: Callable[[JobContext, Code, str], None] = lambda *_: None,
        stopping: Callable[[], bool] = never,
        revoking: Callable[[], bool] = never,
        first_attempt: int = 1,
        replays: int = 0,
        queue_ms: int = 0,
    ) -> None:
        """``first_attempt`` is the number of the first attempt that this delivery of the record makes, ``replays`` how
        often its job was replayed, ``queue_ms`` how long the record waited on its topic, milliseconds.

        ``stopping`` returns whether the service is shutting down or the partition is lost; ``revoking`` whether another
        member waits for the partition. In both cases the record is delivered again, possibly to a machine that does not
        have to wait.
        """
        self.stage = stage
        self.job: JobContext | None = None
        """The task's job at its current attempt, once it is known."""
        self.settled = False
        """True: the broker has the outcome, and waits of the cleanup are not published."""
        self.stopping = stopping
        self.revoking = revoking
        self.cancelled: Callable[[], bool] = never
        self.first_attempt = first_attempt
        self.replays = replays
        self.queue_ms = queue_ms
        self._work_started: float | None = None
        self._work_limit_s = math.inf
        self._publish = publish
        self._lock = Lock()
        self._shown: set[Wait] = set()

    @property
    def attempt(self) -> int:
        """Number of the current attempt."""
        return self.first_attempt if self.job is None else self.job.attempt

    @contextmanager
    def working(self, limit_s: float) -> Iterator[None]:
        """In the block an attempt works, at most ``limit_s`` seconds."""
        self._work_started, self._work_limit_s = time.monotonic(), limit_s
        try:
            yield
        except BaseException:
            self.nothing_to_lose()
            raise
        finally:
            self._work_limit_s = math.inf

    def nothing_to_lose(self) -> None:
        """The attempt's work is stored, or has failed: a wait is not worth more because of it."""
        self._work_started = None

    def worth_s(self, now: float) -> float:
        """How long a wait that starts ``now``, by the monotonic clock, may take, seconds: as long as the attempt has
        worked, because that work would be lost; but not past the limit of a running attempt."""
        if self._work_started is None:
            return 0.0
        worked = now - self._work_started
        return min(worked, self._work_limit_s - worked - WORK_MARGIN_S)

    def follow(self, task: "TaskWaits", context: Context) -> None:
        """From now on these waits are waits of another ``task``, whose ``context`` publishing needs: an attempt that
        had started before its task was there is now the task's."""
        self.job, self.first_attempt, self.replays, self.queue_ms = (
            task.job,
            task.first_attempt,
            task.replays,
            task.queue_ms,
        )
        self.stopping, self.revoking = task.stopping, task.revoking
        self.cancelled = lambda: task.cancelled()
        self._publish = lambda job, code, text: context.copy().run(task._publish, job, code, text)

    def show(self, wait: "Wait", code: Code, message: str) -> None:
        """Publish that the job waits, unless another wait of the task is published."""
        with self._lock:
            first = not self._shown
            self._shown.add(wait)
        if first and self.job is not None and not self.settled:
            self._publish(self.job, code, message)

    def forget(self, wait: "Wait") -> None:
        """Note the end of a wait; after the last one, the next wait is published again."""
        with self._lock:
            self._shown.discard(wait)


class Wait:
    """One wait of the current task. Use it as a context manager, in the thread that waits."""

    def __init__(self) -> None:
        self.task = _TASK.get() or TaskWaits()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.task.forget(self)

    @property
    def seconds(self) -> float:
        """Duration of the wait so far."""
        return time.monotonic() - self._started

    @property
    def worth_s(self) -> float:
        """How long this wait may take, seconds; see `TaskWaits.worth_s`."""
        return self.task.worth_s(self._started)

    def show(self, code: Code, message: str) -> None:
        """Publish the reason, once the wait has lasted ``SHOWN_AFTER_S``."""
        if self.seconds >= SHOWN_AFTER_S:
            self.task.show(self, code, message)

    def sleep(self, seconds: float, *, grace_s: float = 0.0, yields: bool = False) -> None:
        """Sleep. Raises JobCancelled, and Abandoned when the wait must end.

        A wait must end when the service is shutting down and the wait has lasted ``grace_s`` seconds; with ``yields``
        also when another member of the group waits for the partition.
        """
        end = time.monotonic() + seconds
        while True:
            if self.task.cancelled():
                raise JobCancelled("the job was cancelled while it waited")
            if (self.seconds >= grace_s and self.task.stopping()) or (yields and self.task.revoking()):
                raise Abandoned("the service ends, or the partition goes to another member, while the task waits")
            remaining = end - time.monotonic()
            if remaining <= 0:
                return
            time.sleep(min(CHECK_S, remaining))


_TASK: ContextVar[TaskWaits | None] = ContextVar("task_waits", default=None)


@contextmanager
def task_waits(waits: TaskWaits) -> Iterator[TaskWaits]:
    """In the block, and in threads that copy its context, every wait belongs to this task."""
    token = _TASK.set(waits)
    try:
        yield waits
    finally:
        _TASK.reset(token)


@contextmanager
def cancellable(cancelled: Callable[[], bool]) -> Iterator[None]:
    """In the block, a wait of the current task raises JobCancelled once ``cancelled()`` is True.

    Do not use it where a job is ended: the terminal event of a cancelled job must also wait for the object store.
    """
    task = _TASK.get() or TaskWaits()
    previous, task.cancelled = task.cancelled, cancelled
    try:
        yield
    finally:
        task.cancelled = previous


def set_settled() -> None:
    """Note that the broker has the outcome of the current task."""
    if (task := _TASK.get()) is not None:
        task.settled = True


def current_task() -> TaskWaits:
    """The current task; one of its own where none is processed."""
    return _TASK.get() or TaskWaits()


def set_current_job(job: JobContext) -> JobContext:
    """Set the job of the current task: its log lines and its waits name it from now on.

    Returns it with the number of the current attempt and of its replays, which only the record's headers know.
    """
    if (task := _TASK.get()) is not None:
        job = replace(job, attempt=max(job.attempt, task.first_attempt), replays=max(job.replays, task.replays))
        task.job = job
    fields = {
        "job": job.job_id,
        "tenant": job.tenant,
        "attempt": job.attempt,
        "trace_id": trace_id(),
        "span_id": span_id(),
    }
    structlog.contextvars.bind_contextvars(**{name: value for name, value in fields.items() if value is not None})
    return job


def clear_current_job() -> None:
    """Remove the job from the log lines that follow in this thread."""
    structlog.contextvars.unbind_contextvars("job", "tenant", "attempt", "trace_id", "span_id")


def current_job() -> JobContext | None:
    """The current task's job at its current attempt; None while it is unknown."""
    task = _TASK.get()
    return task.job if task is not None else None
