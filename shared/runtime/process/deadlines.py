"""The deadlines of requests (``deadline_s``), against the broker's clock: a wrong clock of this machine expires no
job."""

from shared.messages.task import RenderTask
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Record


class Deadlines:
    """Tells which tasks are too late. Thread-safe; shared by the slots of a stage.

    The clock is a lower bound of the broker's time, and exact after each delivery report. A deadline is never found
    passed before it has passed.
    """

    def __init__(self, clock: BrokerClock) -> None:
        self._clock = clock

    def observe(self, record: Record) -> None:
        """Note the broker's timestamp of a consumed record."""
        if not record.producer_time:
            self._clock.observe(record.timestamp_ms)

    def passed(self, task: RenderTask) -> bool:
        """Whether the deadline of the task's request has passed; False for a request without one."""
        seconds, now_ms = task.request.deadline_s, self._clock.now_ms()
        return seconds is not None and now_ms is not None and now_ms >= task.submitted_ms + seconds * 1000
