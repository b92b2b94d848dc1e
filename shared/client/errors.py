"""Every exception that the client library raises.

::

    ClientError
    ├── InvalidRequest             a file, a field or a name is refused on this machine; nothing was sent
    │   ├── InvalidManifest        at least one line of a batch manifest is refused
    │   └── InvalidQuery           an expression over renders is refused
    ├── InputBucketMissing         the deployment has no bucket to upload inputs to
    ├── InvalidDeployment          a Kafka property or the endpoint is refused on this machine; nothing was sent
    ├── Unreachable                the deployment does not answer; the same call may succeed later
    │   ├── BrokerUnreachable
    │   │   └── TopicMissing
    │   ├── StoreUnreachable
    │   │   └── BucketUnusable     the bucket does not exist, or these credentials may not use it
    │   └── TracesUnreachable      neither Tempo nor the local trace receiver answers
    ├── RecordRefused              the broker refuses a record
    ├── JobConflict                another request has the job id
    ├── JobNotFound                neither the events nor the object store know the job
    ├── DeadLetterNotFound         the topic has no dead letter with this id
    ├── JobNotFinished             the job has not ended, as the call requires
    ├── JobWithoutResult           the job has ended without a video
    ├── PreviewNotFound            no preview of the job is published, or not this part of it
    ├── JobEnded                   the job has ended: there is nothing to cancel
    │   └── JobPurged              everything stored of the job has been deleted
    ├── WaitTimeout                the job did not end in the time given; it continues
    ├── JobDocumentUnreadable      what the object store keeps of a job can't be read
    ├── ArtifactUnavailable        a result is missing, altered or refused
    ├── PurgeIncomplete            the object store refuses to delete some of a job's objects
    ├── TracesRefused              what keeps the traces refuses the query, or answers no queries
    └── TargetUnwritable           a local file can't be written
        └── TargetExists           a file with other content is there

Variables of the environment that can't be read raise pydantic's ``ValidationError`` or ``SettingsError`` when a
``Deployment`` is made.
"""

from collections.abc import Sequence

from shared.messages.codes import Code
from shared.telemetry.query.errors import QueryError


class ClientError(Exception):
    """Base of all. ``message`` is one line, ``details`` are further lines, ``hint`` is what helps, where known."""

    def __init__(self, message: str, hint: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *details]))
        self.message = message
        self.hint = hint
        self.details = tuple(details)


class InvalidRequest(ClientError):
    """A file, a field or a name is refused on this machine; nothing was sent."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        details: Sequence[str] = (),
        field: str | None = None,
        *,
        allowed: str | None = None,
        code: Code | None = None,
    ) -> None:
        super().__init__(message, hint, details)
        self.field = field
        """The field of the request that is at fault, as ``params.seed``, where it is one."""
        self.allowed = allowed
        """Its accepted range or set in words, where it has one."""
        self.code = code
        """The public code with which a service would reject the request, where it would."""


class InvalidManifest(InvalidRequest):
    """At least one line of a manifest is refused; ``details`` has one line each."""


class InvalidQuery(InvalidRequest):
    """An expression over renders is refused; ``error`` has the stable code and the position."""

    error: QueryError | None = None

    @classmethod
    def of(cls, error: QueryError) -> "InvalidQuery":
        """The error with the expression and a mark below the fault."""
        made = cls(str(error), error.hint, [line for line in error.pointer if line])
        made.error = error
        return made


class InputBucketMissing(ClientError):
    """The deployment has no input bucket under the alias that uploads go to."""


class InvalidDeployment(ClientError):
    """A Kafka property, the properties file or the object store's endpoint is refused on this machine."""


class Unreachable(ClientError):
    """The deployment does not answer; the same call may succeed later."""


class BrokerUnreachable(Unreachable):
    """No broker answers."""


class TopicMissing(BrokerUnreachable):
    """The broker answers and has no such topic."""


class StoreUnreachable(Unreachable):
    """The object store does not answer."""


class BucketUnusable(StoreUnreachable):
    """The bucket does not exist, or these credentials may not use it."""


class TracesUnreachable(Unreachable):
    """Neither Tempo nor the local trace receiver answers."""


class TracesRefused(ClientError):
    """What keeps the traces refuses the query, or is a collector that answers no queries."""


class RecordRefused(ClientError):
    """The broker refuses a record."""


class JobConflict(ClientError):
    """Another request, with another body, has the job id."""


class JobNotFound(ClientError):
    """Neither the events that were read nor the object store know the job."""


class DeadLetterNotFound(ClientError):
    """The topic has no dead letter with this id: it never had, or its retention has deleted it."""


class JobNotFinished(ClientError):
    """The job has not ended, as the call requires."""


class JobWithoutResult(ClientError):
    """The job has ended without a video; ``details`` has the reason."""


class PreviewNotFound(ClientError):
    """No preview of the job is published, or not this part of it."""


class JobEnded(ClientError):
    """The job has ended: there is nothing to cancel."""


class JobPurged(JobEnded):
    """Everything stored of the job has been deleted."""


class WaitTimeout(ClientError):
    """The job did not end in the time given; it continues."""


class JobDocumentUnreadable(ClientError):
    """What the object store keeps of a job can't be read."""


class ArtifactUnavailable(ClientError):
    """A result is missing, altered or refused; ``code`` is the public code of the reason, where it has one."""

    def __init__(self, message: str, hint: str | None = None, code: Code | None = None) -> None:
        super().__init__(message, hint)
        self.code = code


class PurgeIncomplete(ClientError):
    """The object store refuses to delete some of a job's objects."""


class TargetUnwritable(ClientError):
    """A local file can't be written."""


class TargetExists(TargetUnwritable):
    """A file with other content is there; nothing was written."""
