"""Concurrent requests to the object store: a stage makes up to six of them, and each is mostly waiting."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

MAX_CONCURRENT = 4


def map_concurrently(call: Callable[[A], R], items: Iterable[A]) -> list[R]:
    """The results of ``call`` for every item, in order. Each call runs in a copy of the caller's context, so that spans
    find their parent.

    Raises the exception of the first failed call, after all started calls have ended.
    """
    arguments = list(items)
    if len(arguments) < 2:
        return [call(item) for item in arguments]
    with ThreadPoolExecutor(min(MAX_CONCURRENT, len(arguments)), thread_name_prefix="store") as pool:
        futures = [pool.submit(copy_context().run, call, item) for item in arguments]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
