"""Repeats reads whose result is altered: damage in transit is not damage in the object store."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

T = TypeVar("T")

READS = 6
"""Number of reads: with one read in ten damaged in transit, six damaged in a row are one in a million."""


def reread(read: Callable[[], T], altered: type[Exception]) -> T:
    """The first result of ``read`` that does not raise ``altered``. Raises the last ``altered``, which then means that
    the stored object differs."""
    try:
        return read()  # Nearly always enough: the rest costs as much CPU as the read of a small object.
    except altered:
        pass
    return Retrying(
        retry=retry_if_exception_type(altered),
        stop=stop_after_attempt(READS - 1),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )(read)
