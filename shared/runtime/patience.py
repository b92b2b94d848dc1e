"""Waiting for a store that does not answer: bounded, with jitter, around one idempotent operation."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from shared.storage.errors import NoSpace, StoreUnavailable

T = TypeVar("T")


class Patience:
    """Repeats an operation while the store is unavailable or the disk is full, up to ``seconds``.

    boto3 has tried four times by then; this bridges a restart of the store. The last error passes.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, operation: Callable[[], T]) -> T:
        return Retrying(
            retry=retry_if_exception_type((StoreUnavailable, NoSpace)),
            wait=wait_random_exponential(multiplier=0.2, max=3.0),
            stop=stop_after_delay(self._seconds),
            reraise=True,
        )(operation)
