"""Reading again what came altered: damage on the way from the store is not damage in the store."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

T = TypeVar("T")

READS = 6
"""With one read in ten damaged on the way, six in a row are one in a million."""


def reread(read: Callable[[], T], altered: type[Exception]) -> T:
    """The first result of ``read`` that is whole. The last ``altered`` passes: then it is the object that differs."""
    return Retrying(
        retry=retry_if_exception_type(altered),
        stop=stop_after_attempt(READS),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )(read)
