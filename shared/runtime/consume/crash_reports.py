"""Crashes of worker processes on their way from the slots to the broker."""

from dataclasses import dataclass, field
from threading import Event, Lock

from shared.runtime.consume.assignment import PartitionAssignment


@dataclass(frozen=True, slots=True, eq=False)
class CrashReport:
    """The worker process died on the record at this offset; a slot waits until the broker knows."""

    assignment: PartitionAssignment
    offset: int
    done: Event = field(default_factory=Event)


class CrashReports:
    """The reports that are not committed yet. Slots report, the consumer loop takes and confirms."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._new: list[CrashReport] = []
        self._counted: list[CrashReport] = []
        self._closed = False

    def report(self, assignment: PartitionAssignment, offset: int) -> None:
        """Report a crash and wait until its count is committed, the partition is lost, or the loop has ended.

        Any thread but the loop's.
        """
        report = CrashReport(assignment, offset)
        with self._lock:
            if self._closed or not assignment.held:
                return
            self._new.append(report)
        report.done.wait()

    def take(self) -> list[CrashReport]:
        """The new reports. The loop counts them, commits, and calls ``confirm``."""
        with self._lock:
            new, self._new = self._new, []
            self._counted += new
        return new

    @property
    def counted(self) -> bool:
        """Whether taken reports wait for a commit."""
        return bool(self._counted)

    def confirm(self) -> None:
        """All counts that were taken are committed."""
        counted, self._counted = self._counted, []
        for report in counted:
            report.done.set()

    def abandon(self, assignment: PartitionAssignment) -> None:
        """The partition is no longer held: nobody here can commit for it. Call it after ``held`` is false."""
        with self._lock:
            gone = [report for report in self._new + self._counted if report.assignment is assignment]
            self._new = [report for report in self._new if report.assignment is not assignment]
            self._counted = [report for report in self._counted if report.assignment is not assignment]
        for report in gone:
            report.done.set()

    def close(self) -> None:
        """The loop has ended: let all slots continue, now and later."""
        with self._lock:
            self._closed = True
            waiting = self._new + self._counted
            self._new, self._counted = [], []
        for report in waiting:
            report.done.set()
