"""What to do when the accelerator runs out of memory all the same: less at a time, then say so."""

from collections.abc import Iterator, Sequence

import torch

from shared.messages.codes import Code, Rejected
from stages.infer.sonic.presets import Plan


def fitting(plans: Sequence[Plan]) -> Iterator["_Try"]:
    """The plans, each to be tried in a ``with`` after the one before ran out of memory; the caller leaves with one.

    The last one's failure is Rejected (OUT_OF_MEMORY): the request is too large for this machine.
    """
    for plan in plans:
        yield _Try(plan, plan is plans[-1])


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
