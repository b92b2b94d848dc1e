"""The retry policy of tasks for an unavailable object store: bounded, with jitter, logged and published."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from shared.runtime.waiting import SHOWN_AFTER_S, Wait, never
from shared.storage.errors import ObjectLost, StorageError, StoreUnavailable

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


class _WorksSince:
    """Measures how long the object store has worked, by its probe."""

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works
        self._since: float | None = None

    def seconds(self) -> float:
        """Probe the object store; seconds since it has worked, negative while it does not."""
        if not self._works():
            self._since = None
            return -1.0
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since


class RetryPolicy:
    """Repeats an operation for up to ``seconds`` while the object store is unavailable.

    boto3 makes four attempts of its own; this policy bridges a restart of the object store. Every retry is logged with
    the job; a wait of more than two seconds is published as an event. Raises the last error, and JobCancelled or
    Abandoned: see `Wait.sleep`.

    An outage is over once ``works()`` is True. An operation that still gets no answer concerns one object, which must
    not end the service: it is retried until ``works()`` has been True for ``lost_after_s`` seconds without a break, and
    then raises ObjectLost.
    """

    def __init__(self, seconds: float, works: Callable[[], bool] = never, lost_after_s: float = 900.0) -> None:
        self._seconds = seconds
        self._works = works
        self._lost_after_s = lost_after_s

    def __call__(self, operation: Callable[[], T], /) -> T:
        if _TRIES_ONCE.get():
            return operation()
        with Wait() as wait:
            works = _WorksSince(self._works)
            try:
                return Retrying(
                    retry=retry_if_exception_type(StoreUnavailable),
                    wait=wait_random_exponential(multiplier=0.2, max=3.0),
                    stop=lambda _: wait.seconds >= self._seconds and not 0 <= works.seconds() < self._lost_after_s,
                    before_sleep=partial(self._report, wait),
                    # A short outage during shutdown must not lose the work of a long render.
                    sleep=lambda s: wait.sleep(s, grace_s=SHOWN_AFTER_S, yields=wait.seconds >= self._seconds),
                    reraise=True,
                )(operation)
            except StoreUnavailable as e:
                if works.seconds() >= self._lost_after_s:
                    raise ObjectLost(f"{e}; the object store works for other objects") from e
                raise

    def _report(self, wait: Wait, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, StoreUnavailable)
        alone_s = self._lost_after_s if wait.seconds >= self._seconds else 0.0  # Retried further only if works().
        log.warning(
            "store_retry",
            stage=wait.task.stage,
            code=error.code,
            reason=str(error),  # Starts with the operation: "reading an artifact: ...".
            failures=state.attempt_number,
            waited_s=round(wait.seconds, 1),
            ends_in_s=round(max(0.0, self._seconds + alone_s - wait.seconds), 1),
        )
        wait.show(error.code, str(error))
