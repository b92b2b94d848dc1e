"""Retries while the object store does not answer: bounded, with jitter, around one idempotent operation."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from shared.runtime.waiting import SHOWN_AFTER_S, Wait
from shared.storage.errors import StoreUnavailable

T = TypeVar("T")

log = structlog.get_logger()


class RetryPolicy:
    """Repeats an operation while the store is unavailable, up to ``seconds``.

    boto3 has tried four times by then; this bridges a restart of the store. Every retry is logged with the job; a wait
    of more than two seconds is published as an event. The last error passes. Raises JobCancelled, Abandoned: see Wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, operation: Callable[[], T]) -> T:
        with Wait() as wait:
            return Retrying(
                retry=retry_if_exception_type(StoreUnavailable),
                wait=wait_random_exponential(multiplier=0.2, max=3.0),
                stop=stop_after_delay(self._seconds),
                before_sleep=partial(self._report, wait),
                # A short hiccup must not cost a long render its work because the service is about to end.
                sleep=partial(wait.sleep, patient_s=SHOWN_AFTER_S),
                reraise=True,
            )(operation)

    def _report(self, wait: Wait, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, StoreUnavailable)
        log.warning(
            "store_retry",
            stage=wait.task.stage,
            code=error.code,
            reason=str(error),  # Begins with what was being done: "reading an artifact: ...".
            failures=state.attempt_number,
            waited_s=round(wait.seconds, 1),
            ends_in_s=round(max(0.0, self._seconds - wait.seconds), 1),
        )
        wait.show(error.code, str(error))
