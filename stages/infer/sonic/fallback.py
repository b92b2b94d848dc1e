"""Retries with smaller plans when the accelerator runs out of memory."""

from collections.abc import Iterator, Sequence

import torch

from shared.messages.codes import Code, Rejected
from stages.infer.sonic.presets import Plan


def smaller_on_out_of_memory(plans: Sequence[Plan]) -> Iterator["_Attempt"]:
    """Yield a context manager per plan; the next one comes only after the one before ran out of memory.

    Leave the loop when an attempt succeeds. When the last plan runs out of memory, torch.OutOfMemoryError propagates:
    the plan fitted the free memory before, so another process has taken it, and a later attempt may succeed.
    """
    for plan in plans:
        yield _Attempt(plan, plan is plans[-1])


class _Attempt:
    def __init__(self, plan: Plan, last: bool) -> None:
        self._plan, self._last = plan, last

    def __enter__(self) -> Plan:
        return self._plan

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        return isinstance(error, torch.OutOfMemoryError) and not self._last


def too_large() -> Rejected:
    """The rejection of a request that can't be rendered on this machine."""
    return Rejected(
        Code.OUT_OF_MEMORY,
        "The render does not fit the accelerator's memory, not even in the smallest pieces.",
        field="params.min_resolution",
        allowed="a smaller one, or a shorter speech",
    )
