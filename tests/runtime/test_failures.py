"""The table of exceptions and dispositions, without a broker."""

import errno

import pytest
from confluent_kafka import KafkaError, KafkaException
from pydantic import BaseModel, ValidationError

from shared.messages import codes
from shared.messages.codes import Code
from shared.runtime import failures
from shared.runtime.disposition import (
    Cancelled,
    DeadLetter,
    Disposition,
    FailureReason,
    PartitionLost,
    Rejected,
)
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


def dead(code: Code, failure_class: str) -> tuple[str, Code, str]:
    return ("dead_letter", code, failure_class)


HANDLER = records.HandlerFailed(exception="ZeroDivisionError", message="division by zero", stack="line 7")
ENDS_PROCESS = None
TABLE: list[tuple[Exception, object]] = [
    (codes.Rejected(Code.NO_FACE, "m", field="portrait", allowed="one"), "rejected"),
    (failures.JobCancelled("c"), "cancelled"),
    (failures.PartitionRevoked("p"), "partition_lost"),
    (failures.InvalidRecord("not JSON"), dead(Code.POISON, "poison")),
    (errors.ArtifactMissing("gone"), dead(Code.ARTIFACT_MISSING, "poison")),
    (errors.ArtifactAltered("differs"), dead(Code.ARTIFACT_ALTERED, "poison")),
    (KeyError("audio"), dead(Code.POISON, "poison")),
    (_invalid(), dead(Code.POISON, "poison")),
    (failures.WorkerDied("it died"), dead(Code.CRASH_LOOP, "crash_loop")),
    (failures.OverBudget("too much"), dead(Code.CRASH_LOOP, "crash_loop")),
    (failures.HandlerFailed(HANDLER), dead(Code.INTERNAL, "failed")),
    (failures.EngineUnavailable("no topic"), dead(Code.ENGINE_UNAVAILABLE, "failed")),
    (failures.RecordRefused("too large"), dead(Code.INTERNAL, "failed")),
    (errors.NoSpace("never fits"), dead(Code.NO_SPACE, "failed")),
    (errors.OutputRefused("403"), dead(Code.OUTPUT_REFUSED, "failed")),
    (errors.ArtifactRefused("403"), dead(Code.ARTIFACT_REFUSED, "failed")),
    (errors.ObjectLost("no answer"), dead(Code.STORE_UNAVAILABLE, "failed")),
    (ZeroDivisionError("a bug"), dead(Code.INTERNAL, "failed")),
    (failures.DiskFull("full"), dead(Code.INTERNAL, "failed")),
    (errors.StoreUnavailable("away"), ENDS_PROCESS),
    (failures.DeliveryFailed("timed out"), ENDS_PROCESS),
    (failures.TopicMissing("render.face"), ENDS_PROCESS),
    (failures.Abandoned("the service ends"), ENDS_PROCESS),
    (failures.WorkerNotRestarted("full disk"), ENDS_PROCESS),
    (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), ENDS_PROCESS),
    (OSError(errno.EIO, "disk"), ENDS_PROCESS),
]


def summary(disposition: Disposition | None) -> object:
    if isinstance(disposition, DeadLetter):
        return dead(disposition.reason.code, disposition.reason.failure_class)
    return None if disposition is None else disposition.label


@pytest.mark.parametrize(("error", "expected"), TABLE, ids=[type(error).__name__ for error, _ in TABLE])
def test_exception_has_its_disposition(error: Exception, expected: object) -> None:
    assert summary(classify(error, 2)) == expected


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
    rejected = classify(codes.Rejected(Code.NO_FACE, "m", field="portrait", allowed="one"), 1)
    assert rejected == Rejected(Code.NO_FACE, "m", "portrait", "one")
    assert classify(failures.JobCancelled(), 1) == Cancelled()
    assert classify(failures.PartitionRevoked(), 1) == PartitionLost()
    crash = classify(failures.WorkerDied("it died"), 3)
    assert crash == DeadLetter(FailureReason(Code.CRASH_LOOP, "crash_loop", "3 attempts: it died", "WorkerDied"))
    handler = classify(failures.HandlerFailed(HANDLER), 1)
    assert handler == DeadLetter(
        FailureReason(Code.INTERNAL, "failed", "ZeroDivisionError: division by zero", "ZeroDivisionError", "line 7")
    )


def test_unknown_exception_keeps_its_stack() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError as e:
        disposition = classify(e, 1)
    assert isinstance(disposition, DeadLetter)
    assert "test_failures.py" in disposition.reason.stack
