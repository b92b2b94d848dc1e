"""What to do when the accelerator has too little memory: less at a time, twice, then say so."""

from collections.abc import Iterator

import torch

from shared.messages.codes import Code, Rejected
from stages.infer.sonic.presets import Plan

TRIES = 3


def fitting(plan: Plan) -> Iterator["_Try"]:
    """The plan, then smaller ones, each to be tried in a ``with``; the caller leaves once one went through.

    The last one's failure is Rejected (OUT_OF_MEMORY): the request is too large for this machine.
    """
    tried: Plan | None = plan
    for number in range(TRIES):
        assert tried is not None
        following = tried.smaller()
        last = number == TRIES - 1 or following is None
        yield _Try(tried, last)
        if last:
            return
        tried = following


class _Try:
    def __init__(self, plan: Plan, last: bool) -> None:
        self._plan, self._last = plan, last

    def __enter__(self) -> Plan:
        return self._plan

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, torch.OutOfMemoryError):
            return False
        if self._last:
            raise too_large() from error
        return True


def too_large() -> Rejected:
    """The request can't be rendered on this machine."""
    return Rejected(
        Code.OUT_OF_MEMORY,
        "The render does not fit the accelerator's memory, not even in the smallest pieces.",
        field="params.min_resolution",
        allowed="a smaller one, or a shorter speech",
    )
