"""Repeats what the broker or the object store does not do while they are away."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from shared.runtime.failures import SERVICE_FAULTS, Abandoned, ProducerFailed, RecordRefused
from shared.storage.errors import StoreUnavailable

RETRY_S = 1.0
TRANSIENT = (*SERVICE_FAULTS, StoreUnavailable)
Result = TypeVar("Result")
GoesOn = Callable[[], bool]
"""Whether the work is still that of this process."""
log = structlog.get_logger()


class Repeating:
    """Calls a step until it succeeds."""

    def __init__(self, stop: threading.Event) -> None:
        """``stop``: the service ends."""
        self._stop = stop

    def __call__(self, step: Callable[[], Result], goes_on: GoesOn) -> Result:
        """The result of the step. Raises Abandoned when the service ends or ``goes_on`` is false, ProducerFailed when
        only a new process can go on, RecordRefused for a record that the broker never accepts."""
        while goes_on() and not self._stop.is_set():
            try:
                return step()
            except (ProducerFailed, RecordRefused):
                raise
            except TRANSIENT as e:
                log.warning("webhook_step_repeated", error=type(e).__name__, text=str(e))
                self._stop.wait(RETRY_S)
        raise Abandoned("the service ends, or another member owns the partition")
