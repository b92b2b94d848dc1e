"""The answers to a request of the admin client, which come together or one by one."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

LATE_ANSWER_S = 20.0
"""Time limit of a request that somebody waits for anyway: the client has crashed when the answer came after it had
given up."""
Key = TypeVar("Key")


def answered(futures: Mapping[Key, "Future[Any]"]) -> Mapping[Key, "Future[Any]"]:
    """The futures of one or more requests, once each has its answer; the time limits of the requests bound the wait.

    The client has crashed when an answer came after its future was gone, as where the first of several raised.
    """
    for future in futures.values():
        future.exception()
    return futures
