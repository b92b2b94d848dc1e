"""Retries with smaller plans when the accelerator runs out of memory, then rejects the request."""

from collections.abc import Iterator, Sequence

import torch

from shared.messages.codes import Code, Rejected
from stages.infer.sonic.presets import Plan


def smaller_on_out_of_memory(plans: Sequence[Plan]) -> Iterator["_Attempt"]:
    """Yield a context manager per plan; the next one comes only after the one before ran out of memory.

    Leave the loop when an attempt succeeds. When the last plan runs out of memory its context manager raises Rejected
    (OUT_OF_MEMORY): the request is too large for this machine.
    """
    for plan in plans:
        yield _Attempt(plan, plan is plans[-1])


class _Attempt:
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
    """The rejection of a request that can't be rendered on this machine."""
    return Rejected(
        Code.OUT_OF_MEMORY,
        "The render does not fit the accelerator's memory, not even in the smallest pieces.",
        field="params.min_resolution",
        allowed="a smaller one, or a shorter speech",
    )
