"""Retries of single operations on the object store: the policy is the caller's, the place is here.

Every public method of the stores below is one idempotent operation. It runs under the policy that its store was opened
with, so that no caller has to remember to retry.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Retry(Protocol):
    """Runs an operation, again where that may help; the last error passes."""

    def __call__(self, operation: Callable[[], T], /) -> T: ...


class HasRetry(Protocol):
    """A store with a policy."""

    @property
    def retry(self) -> Retry: ...


S = TypeVar("S", bound=HasRetry)


def once(operation: Callable[[], T], /) -> T:
    """The policy of a command line or a background pass: one try; boto3 has made four by then."""
    return operation()


def retried(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run the method under its store's policy. It must not call another such method: waits would add up."""

    @wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.retry(lambda: method(self, *args, **kwargs))

    return run
