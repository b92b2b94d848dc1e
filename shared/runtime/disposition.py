"""The outcomes of a record, one frozen value each.

`processor` returns one, `failures.classify` maps exceptions to them and to failure reasons, `attempt_policy` decides
whether such a failure is retried, `settlement` carries the outcome out. A new outcome needs a class here and an arm in
`Settlement.settle`.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from shared.messages.codes import Code
from shared.messages.events import Done, TerminalEvent
from shared.messages.request import Batch
from shared.messages.task import RenderTask
from shared.messages.tiers import Tier


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job that a record belongs to, and the number of the current attempt at its task."""

    job_id: str
    tenant: str
    request_id: str
    batch: Batch | None = None
    labels: dict[str, str] = field(default_factory=dict)
    is_stored: bool = True
    """False: the object store has no request of this job. Its id is what an unreadable record named, or that of a
    record whose sender may not speak for its tenant: the event is published and not stored, so that a later request
    with that id is not taken for one that has ended."""
    attempt: int = 1
    """Counts from 1, up to ``LIPSTAGE_MAX_ATTEMPTS``: in the process, over the retry tiers and after crashes."""
    replays: int = 0
    """How often the job was replayed from a dead letter."""
    render: RenderTask | None = field(default=None, repr=False)
    """The job as it was read: its request and, between stages, the outputs so far. For its summary; None where the
    record can't be read."""

    @classmethod
    def of(cls, task: RenderTask) -> "JobContext":
        """The task's job, at its first attempt."""
        request = task.request
        labels = dict(request.labels)
        return cls(task.job_id, request.tenant, task.request_id, request.batch, labels, render=task)

    def at_attempt(self, number: int) -> "JobContext":
        """The same job at the attempt ``number``."""
        return replace(self, attempt=number)


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Why a record is retried, or becomes a dead letter."""

    code: Code
    failure_class: str
    """A name of `failure_classes`."""
    message: str
    exception: str = ""
    stack: str = ""
    is_outage: bool = False
    """The fault concerns every job, and no job is at fault: the attempt does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Base of the outcomes: the record's job and task. Both are None for a record that names no job."""

    label: ClassVar[str]
    """Value of the label ``outcome`` of lipstage_tasks_total and of the span attribute ``outcome``."""
    job: JobContext | None = None
    task: RenderTask | None = None
    """Set once the record is decoded."""

    @property
    def code(self) -> str:
        """Value of the label ``code`` of lipstage_tasks_total; empty where nothing failed."""
        return ""

    @property
    def job_continues(self) -> bool:
        """Whether the job goes on elsewhere: in the next stage, with another request, at another member."""
        return False

    @property
    def cleans_up(self) -> bool:
        """Whether what only the unfinished task needed may be deleted."""
        return True

    @property
    def frees_frames(self) -> bool:
        """Whether the job has ended and nothing needs its frames; the replay of a dead letter does."""
        return False


@dataclass(frozen=True, slots=True)
class Completed(Outcome):
    """The stage is complete: the next stage has its task, or, after the last stage, ``done`` ends the job."""

    label = "done"
    done: Done | None = None

    @property
    def job_continues(self) -> bool:
        """True unless this was the last stage."""
        return self.done is None

    @property
    def frees_frames(self) -> bool:
        """True after the last stage."""
        return self.done is not None


@dataclass(frozen=True, slots=True)
class Rejected(Outcome):
    """The user's request or input can't be rendered: the job ends."""

    label = "rejected"
    error_code: Code
    message: str
    field: str | None = None
    allowed: str | None = None
    retry_at_ms: int | None = None

    @property
    def code(self) -> str:
        """The public code."""
        return self.error_code


@dataclass(frozen=True, slots=True)
class Cancelled(Outcome):
    """The user cancelled the job: it ends."""

    label = "cancelled"

    @property
    def code(self) -> str:
        """The public code."""
        return Code.CANCELLED

    @property
    def frees_frames(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Conflict(Outcome):
    """Another request owns the job id: a ``conflict`` event is published, and the other job continues."""

    label = "conflict"

    @property
    def job_continues(self) -> bool:
        """True: the job is another request's."""
        return True


@dataclass(frozen=True, slots=True)
class Duplicate(Outcome):
    """The job has ended before: its terminal event is published again."""

    label = "duplicate"
    terminal: TerminalEvent

    @property
    def cleans_up(self) -> bool:
        """False: the delivery that ended the job has cleaned up."""
        return False


@dataclass(frozen=True, slots=True)
class PassedOn(Outcome):
    """A request on the interactive topic that belongs into the bulk lane: it is sent there, and nothing else is done
    for it here."""

    label = "passed_on"

    @property
    def job_continues(self) -> bool:
        """True."""
        return True

    @property
    def cleans_up(self) -> bool:
        """False: nothing has been done."""
        return False


@dataclass(frozen=True, slots=True)
class PartitionLost(Outcome):
    """Another member of the group owns the partition, and processes the record: nothing is published here."""

    label = "partition_lost"

    @property
    def job_continues(self) -> bool:
        """True: the new owner processes the record."""
        return True

    @property
    def cleans_up(self) -> bool:
        """False: the new owner needs what is there."""
        return False


@dataclass(frozen=True, slots=True)
class DeadLetter(Outcome):
    """The record goes to the dead-letter topic, and its job, where it is known, fails."""

    label = "dead_letter"
    reason: FailureReason

    @property
    def code(self) -> str:
        """The public code."""
        return self.reason.code


@dataclass(frozen=True, slots=True)
class Retry(Outcome):
    """The record goes to a retry topic, and comes back for another attempt when its tier is over."""

    label = "retry"
    reason: FailureReason
    tier: Tier
    next_attempt: int
    """Number of the next attempt."""
    counted: bool = True
    """False: no attempt is used, because the object store or the whole stage is at fault, not the job."""

    @property
    def code(self) -> str:
        """The public code."""
        return self.reason.code

    @property
    def job_continues(self) -> bool:
        """True."""
        return True

    @property
    def cleans_up(self) -> bool:
        """False: the next attempt may continue from a checkpoint."""
        return False


@dataclass(frozen=True, slots=True)
class Expired(Outcome):
    """The deadline of the request (``deadline_s``) has passed: the job ends."""

    label = "expired"

    @property
    def code(self) -> str:
        """The public code."""
        return Code.EXPIRED

    @property
    def frees_frames(self) -> bool:
        """True."""
        return True


Disposition = (
    Completed | Rejected | Cancelled | Expired | Conflict | Duplicate | PassedOn | PartitionLost | Retry | DeadLetter
)
