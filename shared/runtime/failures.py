"""Every exception of the runtime, and the disposition of the record that raised it.

    RuntimeFailure
    ├── InvalidRecord            the record can't be read as a task
    ├── JobCancelled             the user cancelled the job while it was processed
    ├── JobExpired               the deadline of the request has passed
    ├── PartitionRevoked         another member of the group owns the partition
    ├── Abandoned                a wait ended early: the service ends, or the partition is being revoked
    ├── WorkerDied               the worker process ended, hung, or sent what can't be read
    │   ├── OverBudget           it sent more than one attempt may
    │   └── CrashLoop            it, or the whole service, died too often on this record
    ├── HandlerFailed            the handler raised an unexpected exception
    ├── HandlerUnavailable       the handler is missing something: weights, a device
    ├── WorkerNotRestarted       a worker process that a full disk ended, or another tenant's, could not be replaced
    ├── DiskFull                 an attempt filled the disk; it is repeated when there is room
    ├── EngineUnavailable        the request's engine has no topic in this deployment
    ├── DeliveryFailed           the broker did not accept a record in time
    │   ├── RecordRefused        the broker never accepts this record: it is too large, or malformed
    │   ├── ProducerFailed       a fatal error of the producer: only a new one can go on
    │   └── TopicMissing         the topic does not exist, or this service may not write to it
    └── EndsService              a background thread ends the service with this reason

The exceptions of the object store are in `shared.storage.errors`; a user's input is refused with
`shared.messages.codes.Rejected`. docs/delivery.md explains why no single record can end a service for ever.
"""

import traceback

from confluent_kafka import KafkaException
from pydantic import ValidationError

from shared.messages import codes
from shared.messages.codes import Code
from shared.messages.task import UnreadableMetadata
from shared.runtime.disposition import (
    Cancelled,
    Disposition,
    Expired,
    FailureReason,
    PartitionLost,
    Rejected,
)
from shared.slot import records
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    ArtifactRefused,
    NoSpace,
    OutputRefused,
    StoreOutage,
    StoreUnavailable,
)


class RuntimeFailure(Exception):
    """Base of the runtime's exceptions."""


class InvalidRecord(RuntimeFailure):
    """The record can't be read as a task: it was altered, or another version wrote it."""


class JobCancelled(RuntimeFailure):
    """The user cancelled the job while it was processed."""


class JobExpired(RuntimeFailure):
    """The deadline of the request has passed."""


class PartitionRevoked(RuntimeFailure):
    """Another member of the group owns the partition and does this work; nothing may be published here."""


class Abandoned(RuntimeFailure):
    """The task stops waiting because the service ends or its partition is being revoked; nothing is settled."""


class WorkerDied(RuntimeFailure):
    """The worker process ended, hung past its deadline or sent what can't be read; the task may be tried again."""


class OverBudget(WorkerDied):
    """The worker process exceeded a budget of one attempt; the message names the budget."""


class CrashLoop(WorkerDied):
    """The worker process or the whole service died or hung too often on this record."""


class HandlerFailed(RuntimeFailure):
    """The handler raised an unexpected exception; ``exception`` is its class name, ``message`` its text, ``stack`` its
    traceback."""

    def __init__(self, record: records.HandlerFailed) -> None:
        super().__init__(f"{record.exception}: {record.message}")
        self.exception = record.exception
        self.message = record.message
        self.stack = record.stack


class HandlerUnavailable(RuntimeFailure):
    """The handler can't be loaded: something that the message names is missing. A later attempt may succeed."""


class WorkerNotRestarted(RuntimeFailure):
    """A worker process that a full disk ended, or that served another tenant, could not be replaced: the machine is at
    fault, not the record."""


class DiskFull(RuntimeFailure):
    """An attempt filled the disk: the machine is at fault, and the attempt is repeated when there is room."""


class EngineUnavailable(RuntimeFailure):
    """The request's engine has no topic in this deployment; jobs of other engines are not affected."""


class DeliveryFailed(RuntimeFailure):
    """The broker did not accept a record within delivery.timeout.ms, or refused it."""


class RecordRefused(DeliveryFailed):
    """The broker never accepts this record, for example because it is too large; other records are not affected."""


class ProducerFailed(DeliveryFailed):
    """The producer has a fatal error: it sends nothing any more, and only a new process has another one."""


class TopicMissing(DeliveryFailed):
    """The topic does not exist, or this service may not write to it."""


class EndsService(RuntimeFailure):
    """Raised in a background thread to end the service; the message is the reason."""


SERVICE_FAULTS = (DeliveryFailed, KafkaException, WorkerNotRestarted, Abandoned, OSError)
"""Faults of the broker or the machine, which would occur with any record, and after which no outcome can be
published."""
DEVICE_MEMORY = ("OutOfMemoryError",)
"""Class names of the exception of a handler whose accelerator has too little free memory at this moment."""


def classify(error: Exception) -> Disposition | FailureReason | None:
    """The table of exceptions.

    A disposition for what ends here; a failure reason, with its class, where `attempt_policy` decides between a retry
    and a dead letter; None where the process must end and the record is delivered again. An unknown exception counts as
    the record's fault: a record that breaks this replica would break every other in turn.
    """
    match error:
        case codes.Rejected():
            return Rejected(error.code, error.message, error.field, error.allowed, error.retry_at_ms)
        case JobCancelled():
            return Cancelled()
        case JobExpired():
            return Expired()
        case PartitionRevoked():
            return PartitionLost()
        case StoreUnavailable():
            return _reason(error.code, "transient_slow", error, is_outage=isinstance(error, StoreOutage))
        case EngineUnavailable():
            return _reason(Code.ENGINE_UNAVAILABLE, "transient_slow", error)
        case ArtifactMissing() | ArtifactAltered():
            return _reason(error.code, "poison", error)
        case InvalidRecord():
            return _reason(Code.POISON, "poison", error)
        case WorkerDied():
            return _reason(Code.CRASH_LOOP, "crash_loop", error)
        case HandlerFailed() if error.exception in DEVICE_MEMORY:
            message = "the accelerator has too little free memory"
            return FailureReason(Code.OUT_OF_MEMORY, "transient_slow", message, error.exception, error.stack)
        case HandlerFailed() if error.exception == UnreadableMetadata.__name__:
            return FailureReason(Code.POISON, "poison", error.message, error.exception, error.stack)
        case UnreadableMetadata():
            return _reason(Code.POISON, "poison", error, stack=True)
        case HandlerFailed():
            return FailureReason(Code.INTERNAL, "failed", str(error), error.exception, error.stack)
        case RecordRefused():
            return _reason(Code.INTERNAL, "failed", error)
        case _ if isinstance(error, SERVICE_FAULTS):
            return None
        case NoSpace() | OutputRefused() | ArtifactRefused():
            return _reason(error.code, "refused", error)
        case KeyError():
            # The task parses, but what an earlier stage writes is missing.
            message = f"the task has no output of an earlier stage: {error} is missing"
            return _reason(Code.POISON, "poison", error, message=message, stack=True)
        case ValidationError():
            return _reason(Code.POISON, "poison", error, message=_first_fault(error), stack=True)
        case _:
            return _reason(Code.INTERNAL, "failed", error, stack=True)


def _first_fault(error: ValidationError) -> str:
    """The model, the field and the fault, without the value."""
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(map(str, detail["loc"])) or "the value"
    return f"{error.title} in the task, written by an earlier stage, can't be read: {field}: {detail['msg']}"


def _reason(
    code: Code,
    failure_class: str,
    error: Exception,
    *,
    message: str | None = None,
    stack: bool = False,
    is_outage: bool = False,
) -> FailureReason:
    text = "".join(traceback.format_exception(error)) if stack else ""
    return FailureReason(code, failure_class, message or str(error), type(error).__name__, text, is_outage)
