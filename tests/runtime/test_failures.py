"""The table of exceptions and dispositions, without a broker."""

import errno

import pytest
from confluent_kafka import KafkaError, KafkaException
from pydantic import BaseModel, ValidationError

from shared.messages import codes
from shared.messages.codes import Code
from shared.messages.task import UnreadableMetadata
from shared.runtime import failures
from shared.runtime.disposition import (
    Cancelled,
    Disposition,
    Expired,
    FailureReason,
    PartitionLost,
    Rejected,
)
from shared.runtime.failure_classes import CLASSES, IN_PROCESS
from shared.runtime.failures import classify
from shared.slot import records
from shared.storage import errors


class _Form(BaseModel):
    field: int


def _invalid() -> ValidationError:
    try:
        _Form.model_validate({})
    except ValidationError as e:
        return e
    raise AssertionError


def failed(code: Code, failure_class: str) -> tuple[Code, str]:
    return (code, failure_class)


HANDLER = records.HandlerFailed(exception="ZeroDivisionError", message="division by zero", stack="line 7")
UNREADABLE = records.HandlerFailed(exception="UnreadableMetadata", message="codec: Field required", stack="line 7")
NO_MEMORY = records.HandlerFailed(exception="OutOfMemoryError", message="2 GiB", stack="line 7")
ENDS_PROCESS = None
TABLE: list[tuple[Exception, object]] = [
    (codes.Rejected(Code.NO_FACE, "m", field="portrait", allowed="one"), "rejected"),
    (failures.JobCancelled("c"), "cancelled"),
    (failures.JobExpired("e"), "expired"),
    (failures.PartitionRevoked("p"), "partition_lost"),
    (failures.InvalidRecord("not JSON"), failed(Code.POISON, "poison")),
    (errors.ArtifactMissing("gone"), failed(Code.ARTIFACT_MISSING, "poison")),
    (errors.ArtifactAltered("differs"), failed(Code.ARTIFACT_ALTERED, "poison")),
    (KeyError("audio"), failed(Code.POISON, "poison")),
    (_invalid(), failed(Code.POISON, "poison")),
    (failures.WorkerDied("it died"), failed(Code.CRASH_LOOP, "crash_loop")),
    (failures.OverBudget("too much"), failed(Code.CRASH_LOOP, "crash_loop")),
    (failures.CrashLoop("three times"), failed(Code.CRASH_LOOP, "crash_loop")),
    (failures.HandlerFailed(HANDLER), failed(Code.INTERNAL, "failed")),
    (failures.HandlerFailed(NO_MEMORY), failed(Code.OUT_OF_MEMORY, "transient_slow")),
    (failures.HandlerFailed(UNREADABLE), failed(Code.POISON, "poison")),
    (UnreadableMetadata("codec: Field required"), failed(Code.POISON, "poison")),
    (failures.EngineUnavailable("no topic"), failed(Code.ENGINE_UNAVAILABLE, "transient_slow")),
    (failures.RecordRefused("too large"), failed(Code.INTERNAL, "failed")),
    (errors.NoSpace("never fits"), failed(Code.NO_SPACE, "refused")),
    (errors.OutputRefused("403"), failed(Code.OUTPUT_REFUSED, "refused")),
    (errors.ArtifactRefused("403"), failed(Code.ARTIFACT_REFUSED, "refused")),
    (ZeroDivisionError("a bug"), failed(Code.INTERNAL, "failed")),
    (failures.DiskFull("full"), failed(Code.INTERNAL, "failed")),
    (errors.StoreUnavailable("away"), failed(Code.STORE_UNAVAILABLE, "transient_slow")),
    (errors.StoreOutage("away"), failed(Code.STORE_UNAVAILABLE, "transient_slow")),
    (failures.DeliveryFailed("timed out"), ENDS_PROCESS),
    (failures.ProducerFailed("fenced"), ENDS_PROCESS),
    (failures.TopicMissing("render.face"), ENDS_PROCESS),
    (failures.Abandoned("the service ends"), ENDS_PROCESS),
    (failures.WorkerNotRestarted("full disk"), ENDS_PROCESS),
    (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), ENDS_PROCESS),
    (OSError(errno.EIO, "disk"), ENDS_PROCESS),
]


def summary(result: Disposition | FailureReason | None) -> object:
    if isinstance(result, FailureReason):
        return failed(result.code, result.failure_class)
    return None if result is None else result.label


@pytest.mark.parametrize(("error", "expected"), TABLE, ids=[type(error).__name__ for error, _ in TABLE])
def test_exception_has_its_disposition(error: Exception, expected: object) -> None:
    assert summary(classify(error)) == expected


def test_every_runtime_exception_is_in_the_table_or_never_leaves_a_slot() -> None:
    """A new exception class needs a row in the table."""
    handled_by_slots = {failures.RuntimeFailure, failures.EndsService, failures.HandlerUnavailable}
    known = {type(error) for error, _ in TABLE} | handled_by_slots
    defined = {
        cls for cls in vars(failures).values() if isinstance(cls, type) and issubclass(cls, failures.RuntimeFailure)
    }
    assert defined <= known


def test_every_storage_error_is_in_the_table_or_is_an_input_error() -> None:
    known = {type(error) for error, _ in TABLE} | {errors.StorageError}
    defined = {
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.StorageError) and not issubclass(cls, errors.InputError)
    }
    assert defined <= known


def test_disposition_carries_the_fields_of_its_exception() -> None:
    rejected = classify(codes.Rejected(Code.NO_FACE, "m", field="portrait", allowed="one"))
    assert rejected == Rejected(Code.NO_FACE, "m", "portrait", "one")
    assert classify(failures.JobCancelled()) == Cancelled()
    assert classify(failures.PartitionRevoked()) == PartitionLost()
    assert classify(failures.JobExpired()) == Expired()
    assert classify(failures.CrashLoop("3 deaths")) == FailureReason(
        Code.CRASH_LOOP, "crash_loop", "3 deaths", "CrashLoop"
    )
    assert classify(failures.HandlerFailed(HANDLER)) == FailureReason(
        Code.INTERNAL, "failed", "ZeroDivisionError: division by zero", "ZeroDivisionError", "line 7"
    )


@pytest.mark.parametrize("error", [errors.StoreUnavailable("one object"), errors.StoreOutage("all objects")])
def test_only_an_outage_of_the_whole_store_is_no_jobs_fault(error: errors.StoreUnavailable) -> None:
    reason = classify(error)
    assert isinstance(reason, FailureReason)
    assert reason.is_outage is isinstance(error, errors.StoreOutage)


def test_failure_classes_of_exceptions_are_those_of_the_table() -> None:
    """The other rows are dispositions, and what never becomes an outcome."""
    results = [classify(error) for error, _ in TABLE]
    of_reasons = {result.failure_class for result in results if isinstance(result, FailureReason)}
    of_dispositions = {result.label for result in results if isinstance(result, Rejected | Expired | Cancelled)}
    assert of_reasons | of_dispositions | {IN_PROCESS} == set(CLASSES)


def test_unknown_exception_keeps_its_stack() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError as e:
        disposition = classify(e)
    assert isinstance(disposition, FailureReason)
    assert "test_failures.py" in disposition.stack
