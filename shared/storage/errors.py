"""What can go wrong with storage: a small family that callers tell apart, each with its public code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from shared.messages.codes import Code
from shared.storage.answers import Answer, meaning, reason, status


class StorageError(Exception):
    """Base of all storage errors; ``code`` is the public code of the failure."""

    code: ClassVar[Code]


class StoreUnavailable(StorageError):
    """The store does not answer, refuses all we ask or answers nonsense. Trying later may help."""

    code = Code.STORE_UNAVAILABLE


class NoSpace(StorageError):
    """Too little free disk space to begin. Trying later may help."""

    code = Code.NO_SPACE


class ArtifactMissing(StorageError):
    """An object that a stage wrote is gone."""

    code = Code.ARTIFACT_MISSING


class ArtifactAltered(StorageError):
    """An object that a stage wrote has another size, digest or form than its reference says."""

    code = Code.ARTIFACT_ALTERED


class ArtifactRefused(StorageError):
    """The store refuses to read or write this object of ours, though the bucket as a whole works."""

    code = Code.ARTIFACT_REFUSED


class ObjectLost(ArtifactRefused):
    """The store gives no answer for one object, and works for others: it has lost it, as a volume of its disks."""

    code = Code.STORE_UNAVAILABLE


class OutputRefused(StorageError):
    """The user's output bucket does not take the finished files. An operator's to mend; the render itself is whole."""

    code = Code.OUTPUT_REFUSED


class InputError(StorageError):
    """Base of what is the user's to mend."""


class InputNotFound(InputError):
    """The named input does not exist."""

    code = Code.INPUT_NOT_FOUND


class InputForbidden(InputError):
    """The alias is unknown, the key is outside the tenant's prefix, or the store does not let us read the object."""

    code = Code.INPUT_FORBIDDEN


class InputTooLarge(InputError):
    """The input is larger than the limit."""

    code = Code.INPUT_TOO_LARGE


class InputDigestMismatch(InputError):
    """The input has another size or digest than the request says, or changed while it was read."""

    code = Code.INPUT_DIGEST_MISMATCH


def is_missing(error: ClientError) -> bool:
    """Whether the answer says that the object is not there. A missing bucket is a fault of the set-up, not this."""
    return meaning(error) is Answer.MISSING


def is_conflict(error: ClientError) -> bool:
    """Whether another conditional write to the same key is in progress: try again."""
    return status(error) == 409 and reason(error) == "ConditionalRequestConflict"


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn what boto3 raises inside into StoreUnavailable; ``doing`` begins the message, as ``reading an artifact``.

    Handle the answers about one object (404, 412, refusals) inside the block. Our own misuse of a call is not hidden.
    """
    try:
        yield
    except ParamValidationError:
        raise
    except ClientError as error:
        raise StoreUnavailable(f"{doing}: the store answered {status(error)} {reason(error)}") from error
    except (BotoCoreError, Boto3Error, HTTPError) as error:  # HTTPError: what botocore lets through of a broken body.
        raise StoreUnavailable(f"{doing}: {type(error).__name__}") from error
