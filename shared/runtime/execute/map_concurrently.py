"""Several requests to the store at once: each is a wait, and a stage has up to six to wait for."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = 4


def map_concurrently(call: Callable[[A], R], items: Iterable[A]) -> list[R]:
    """``call`` of every item, results in order, each in the caller's context (spans find their parent).

    Raises what the first failing call raised, once all that had begun have ended.
    """
    wanted = list(items)
    if len(wanted) < 2:
        return [call(item) for item in wanted]
    with ThreadPoolExecutor(min(AT_ONCE, len(wanted)), thread_name_prefix="store") as pool:
        futures = [pool.submit(copy_context().run, call, item) for item in wanted]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
