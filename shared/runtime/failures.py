"""Every exception of the runtime, and what each means for the record that is being processed.

    RuntimeFailure
    ├── InvalidRecord            the record can't be read as a task
    ├── JobCancelled             the user cancelled the job while it was processed
    ├── PartitionRevoked         another member of the group owns the partition
    ├── Abandoned                a wait was given up: the service ends, or the partition is wanted elsewhere
    ├── WorkerDied               the worker process ended, hung, or sent what can't be read
    │   └── OverBudget           it sent more than one attempt may
    ├── HandlerFailed            the handler raised what it should not
    ├── HandlerUnavailable       what the handler needs is missing: weights, a device
    ├── WorkerNotRestarted       a worker process that a full disk ended could not be started again
    ├── DiskFull                 an attempt found the disk full; a later one may not
    ├── EngineUnavailable        the request's engine has no topic here
    ├── DeliveryFailed           the broker did not accept a record in time
    │   ├── RecordRefused        it never will: this very record is too large, or malformed
    │   └── TopicMissing         the topic does not exist, or this service may not write to it
    └── EndsService              a thread ends the service in order

The object store's own tree is in `shared.storage.errors`, what a user's input can be refused for in
`shared.messages.codes.Rejected`. docs/delivery.md says for each place why one record alone can't end a service.
"""

import traceback

from confluent_kafka import KafkaException
from pydantic import ValidationError

from shared.messages import codes
from shared.messages.codes import Code
from shared.runtime.disposition import (
    Cancelled,
    DeadLetter,
    DeadLetterReason,
    Disposition,
    PartitionLost,
    Rejected,
)
from shared.slot import records
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    StorageError,
    StoreUnavailable,
)


class RuntimeFailure(Exception):
    """Base of the runtime's exceptions."""


class InvalidRecord(RuntimeFailure):
    """The record can't be read as a task: it was altered, or another version wrote it."""


class JobCancelled(RuntimeFailure):
    """The user cancelled the job while it was processed."""


class PartitionRevoked(RuntimeFailure):
    """Another member of the group owns the partition and does this work; nothing may be published here."""


class Abandoned(RuntimeFailure):
    """The task stops waiting because the service ends, or its partition is wanted elsewhere: nothing was settled."""


class WorkerDied(RuntimeFailure):
    """The worker process ended, hung past its deadline or sent what can't be read; the task may be tried again."""


class OverBudget(WorkerDied):
    """The worker process sent more than an attempt may; the message names the budget."""


class HandlerFailed(RuntimeFailure):
    """The handler raised something it should not have; ``exception`` is the class, ``stack`` where it came from."""

    def __init__(self, record: records.HandlerFailed) -> None:
        super().__init__(f"{record.exception}: {record.message}")
        self.exception = record.exception
        self.stack = record.stack


class HandlerUnavailable(RuntimeFailure):
    """The handler can't work here: what it needs is missing, and the message names it. Another try may find it."""


class WorkerNotRestarted(RuntimeFailure):
    """A worker process that a full disk ended could not be started again: this machine's fault, not the record's."""


class DiskFull(RuntimeFailure):
    """An attempt failed for want of disk space: this machine's fault, to be tried again when there is room."""


class EngineUnavailable(RuntimeFailure):
    """The request's engine has no topic here any more: no other job waits for it."""


class DeliveryFailed(RuntimeFailure):
    """The broker did not accept a record within delivery.timeout.ms, or refused it."""


class RecordRefused(DeliveryFailed):
    """This very record can't be delivered, as it is too large: sent again it fails again, and others do not."""


class TopicMissing(DeliveryFailed):
    """The topic does not exist, or this service may not write to it."""


class EndsService(RuntimeFailure):
    """Raised by a thread's work when the service should end in order; the message is the whole reason."""


SERVICE_FAULTS = (StoreUnavailable, DeliveryFailed, KafkaException, WorkerNotRestarted, Abandoned, OSError)
"""Broker, object store or machine are at fault, and would be for any record."""


def classify(error: Exception, attempt: int) -> Disposition | None:
    """What an exception means for the record; None: the process must end, and the record is delivered again.

    ``attempt`` is the number of the attempt that raised it, from 1. An exception that is not known counts as the
    record's: one that breaks this replica would break every other in turn.
    """
    match error:
        case codes.Rejected():
            return Rejected(error.code, error.message, error.field, error.allowed)
        case JobCancelled():
            return Cancelled()
        case PartitionRevoked():
            return PartitionLost()
        case ArtifactMissing() | ArtifactAltered():
            return _dead_letter(error.code, "poison", error)
        case InvalidRecord():
            return _dead_letter(Code.POISON, "poison", error)
        case WorkerDied():
            return _dead_letter(Code.CRASH_LOOP, "crash_loop", error, message=f"{attempt} attempts: {error}")
        case HandlerFailed():
            reason = DeadLetterReason(Code.INTERNAL, "failed", str(error), error.exception, error.stack)
            return DeadLetter(reason)
        case EngineUnavailable():
            return _dead_letter(Code.ENGINE_UNAVAILABLE, "failed", error)
        case RecordRefused():
            return _dead_letter(Code.INTERNAL, "failed", error)
        case _ if isinstance(error, SERVICE_FAULTS):
            return None
        case StorageError():
            return _dead_letter(error.code, "failed", error)
        case KeyError() | ValidationError():
            # A task that parses, but lacks what earlier stages should have put there.
            return _dead_letter(Code.POISON, "poison", error, stack=True)
        case _:
            return _dead_letter(Code.INTERNAL, "failed", error, stack=True)


def _dead_letter(
    code: Code, failure_class: str, error: Exception, *, message: str | None = None, stack: bool = False
) -> DeadLetter:
    text = "".join(traceback.format_exception(error)) if stack else ""
    return DeadLetter(DeadLetterReason(code, failure_class, message or str(error), type(error).__name__, text))
