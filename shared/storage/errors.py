"""The exceptions of the object storage, each with its public code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from shared.messages.codes import Code
from shared.storage.answers import Answer, meaning, reason, status


class StorageError(Exception):
    """Base of all storage errors; ``code`` is the public code of the failure."""

    code: ClassVar[Code]


class StoreUnavailable(StorageError):
    """The object store does not answer, refuses every request, or its answer is invalid. A retry may help."""

    code = Code.STORE_UNAVAILABLE


class StoreOutage(StoreUnavailable):
    """The object store works for no object at all: no job is at fault."""


class NoSpace(StorageError):
    """Too little free disk space to start. A retry may help."""

    code = Code.NO_SPACE


class ArtifactMissing(StorageError):
    """An object that a stage wrote does not exist any more."""

    code = Code.ARTIFACT_MISSING


class ArtifactAltered(StorageError):
    """An object that a stage wrote has another size, digest or form than its reference says."""

    code = Code.ARTIFACT_ALTERED


class ArtifactRefused(StorageError):
    """The object store refuses to read or write one object of the artifact bucket, while the bucket works."""

    code = Code.ARTIFACT_REFUSED


class OutputRefused(StorageError):
    """The output bucket does not accept the finished files. An operator must repair this; the render is complete."""

    code = Code.OUTPUT_REFUSED


class InputError(StorageError):
    """Base of the errors that the user must fix."""


class InputNotFound(InputError):
    """The named input does not exist."""

    code = Code.INPUT_NOT_FOUND


class InputForbidden(InputError):
    """The alias is unknown, the key is outside the tenant's prefix, or the object store refuses to read the object."""

    code = Code.INPUT_FORBIDDEN


class InputTooLarge(InputError):
    """The input is larger than the limit."""

    code = Code.INPUT_TOO_LARGE


class InputDigestMismatch(InputError):
    """The size or digest of the input differs from the request's, or the input changed while it was read."""

    code = Code.INPUT_DIGEST_MISMATCH


def is_missing(error: ClientError) -> bool:
    """Whether the answer means that the object does not exist; False for a missing bucket, which is a wrong set-up."""
    return meaning(error) is Answer.MISSING


def is_conflict(error: ClientError) -> bool:
    """Whether another conditional write to the same key is in progress, so that a retry helps."""
    return status(error) == 409 and reason(error) == "ConditionalRequestConflict"


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Convert exceptions of boto3 in the block to StoreUnavailable; ``doing`` starts the message, as
    ``reading an artifact``.

    Handle answers about one object (404, 412, refusals) inside the block. ParamValidationError, a bug, is not
    converted.
    """
    try:
        yield
    except ParamValidationError:
        raise
    except ClientError as error:
        raise StoreUnavailable(f"{doing}: the object store answered {status(error)} {reason(error)}") from error
    except Exception as error:
        if isinstance(error, (BotoCoreError, HTTPError)) or _is_boto3_error(error):
            # HTTPError: botocore does not convert a truncated body.
            raise StoreUnavailable(f"{doing}: {type(error).__name__}") from error
        raise


def _is_boto3_error(error: Exception) -> bool:
    """boto3 is not loaded for this: most commands of the command line make no client of it."""
    boto3 = sys.modules.get("boto3.exceptions")
    return boto3 is not None and isinstance(error, boto3.Boto3Error)
