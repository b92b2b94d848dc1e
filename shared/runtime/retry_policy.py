"""The retry policy of tasks for an unavailable object store: bounded, with jitter, logged and published."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from shared.runtime.waiting import SHOWN_AFTER_S, Wait, current_task, never
from shared.storage.errors import StorageError, StoreOutage, StoreUnavailable
from shared.telemetry import metrics

T = TypeVar("T")
_TRIES_ONCE: ContextVar[bool] = ContextVar("tries_once", default=False)

log = structlog.get_logger()


@contextmanager
def best_effort() -> Iterator[None]:
    """In the block, operations are tried once, and a failure of the object store is logged and not raised.

    For cleanup and for work that only saves time later: neither justifies a wait, and the janitor deletes leftovers.
    """
    token = _TRIES_ONCE.set(True)
    try:
        yield
    except StorageError as e:
        log.info("best_effort_failed", error=type(e).__name__, text=str(e))
    finally:
        _TRIES_ONCE.reset(token)


def _measured(operation: Callable[[], T], name: str, stage: str) -> T:
    """Run one attempt at an operation and observe its duration."""
    start = time.monotonic()
    try:
        return operation()
    finally:
        seconds = time.monotonic() - start
        metrics.STORE_SECONDS.labels(stage, name).observe(seconds, metrics.exemplar())


class RetryPolicy:
    """Repeats an operation while the object store is unavailable.

    boto3 makes four attempts of its own; this policy bridges a restart of the object store. It gives up after
    ``seconds``, or, after longer work, after as long as the attempt has worked: the record then waits on a retry topic,
    and the next attempt does the work again, so that a wait never costs more than twice what it may save. Every retry
    is logged with the job; a wait of more than two seconds is published as an event.

    Raises the last error: StoreOutage when ``works()``, the probe, fails as well, so that no job is at fault. Raises
    JobCancelled and Abandoned: see `Wait.sleep`.
    """

    def __init__(self, seconds: float, works: Callable[[], bool] = never, stage: str = "") -> None:
        """``stage`` is that of the service, for operations outside of a task."""
        self._seconds = seconds
        self._works = works
        self._stage = stage

    def __call__(self, operation: Callable[[], T], name: str = "", /) -> T:
        operation = partial(_measured, operation, name, current_task().stage or self._stage)
        if _TRIES_ONCE.get():
            return operation()
        with Wait() as wait:
            limit_s = max(self._seconds, wait.worth_s)
            try:
                return Retrying(
                    retry=retry_if_exception_type(StoreUnavailable),
                    wait=wait_random_exponential(multiplier=0.2, max=3.0),
                    stop=lambda _: wait.seconds >= limit_s,
                    before_sleep=partial(self._report, wait, limit_s),
                    # A short outage during shutdown must not lose the work of a long render.
                    sleep=lambda s: wait.sleep(s, grace_s=SHOWN_AFTER_S, yields=wait.seconds >= self._seconds),
                    reraise=True,
                )(operation)
            except StoreUnavailable as e:
                if self._works():
                    raise
                raise StoreOutage(str(e)) from e

    def _report(self, wait: Wait, limit_s: float, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, StoreUnavailable)
        stage = wait.task.stage or self._stage
        metrics.STORE_RETRIES.labels(stage).inc()
        log.warning(
            "store_retry",
            stage=stage,
            code=error.code,
            reason=str(error),  # Starts with the operation: "reading an artifact: ...".
            failures=state.attempt_number,
            waited_s=round(wait.seconds, 1),
            ends_in_s=round(max(0.0, limit_s - wait.seconds), 1),
        )
        wait.show(error.code, str(error))
