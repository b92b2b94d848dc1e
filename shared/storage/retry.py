"""Retries of single operations on the object store, under a policy that the caller provides.

Every public method of the stores that is marked ``retried`` is one idempotent operation. It runs under the policy with
which the store was opened, so that callers need no retries of their own.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Retry(Protocol):
    """Runs an operation and repeats it where that may help. Raises the last error.

    ``name`` is the operation's, such as ``artifacts.put``: one of the methods that are marked ``retried``.
    """

    def __call__(self, operation: Callable[[], T], name: str, /) -> T: ...


class HasRetry(Protocol):
    """A store with a retry policy."""

    @property
    def retry(self) -> Retry: ...


S = TypeVar("S", bound=HasRetry)


def once(operation: Callable[[], T], _name: str = "", /) -> T:
    """The policy of the command line and of background passes: one attempt, in which boto3 makes up to four."""
    return operation()


def retried(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run the method under its store's policy. It must not call another retried method: the waits would add up."""
    name = f"{method.__module__.rpartition('.')[2]}.{method.__name__}"

    @wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.retry(lambda: method(self, *args, **kwargs), name)

    return run
