"""Errors as answers: RFC 9457 problem details with a stable public code, and the HTTP status of each code."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from shared.client import errors
from shared.messages.codes import Code, Rejected

MEDIA_TYPE = "application/problem+json"
RETRY_S = 5
"""When to ask again while a part of the deployment does not answer, seconds."""


class Problem(Exception):
    """An error that the caller is told. ``field`` is what is at fault, ``allowed`` its range in words, ``hint`` what
    helps, ``retry_s`` when the same request may succeed, ``headers`` are further headers of the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        allowed: str | None = None,
        hint: str | None = None,
        details: tuple[str, ...] = (),
        retry_s: float | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.allowed = allowed
        self.hint = hint
        self.details = details
        self.retry_s = retry_s
        self._headers = headers

    def as_headers(self) -> dict[str, str]:
        """The headers of the answer, beside its media type."""
        headers = {"cache-control": "no-store", **self._headers}
        if self.retry_s is not None:
            headers["retry-after"] = str(max(1, round(self.retry_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status == 408:  # What is left of the request will not come.
            headers["connection"] = "close"
        return headers

    def as_json(self, request_id: str) -> dict[str, Any]:
        """The body of the answer; members that are not known are left out."""
        body = {
            "type": f"urn:lipstage:problem:{self.code}",
            "title": TITLES.get(self.code, self.code.replace("_", " ").capitalize()),
            "status": self.status,
            "code": self.code,
            "detail": self.message,
            "field": self.field,
            "allowed": self.allowed,
            "hint": self.hint,
            "details": list(self.details) or None,
            "request_id": request_id,
        }
        return {name: value for name, value in body.items() if value is not None}


TITLES = {
    "UNAUTHENTICATED": "No valid API key",
    "FORBIDDEN": "Not allowed with this API key",
    "RATE_LIMITED": "Too many requests",
    "TOO_MANY_WATCHERS": "Too many open event streams",
    "WEBHOOKS_UNAVAILABLE": "No webhooks here",
    "WEBHOOK_URL_REFUSED": "Not a URL for webhooks",
    "TOO_MANY_UPLOADS": "Too many uploads at a time",
    "BROKER_UNREACHABLE": "Kafka does not answer",
    "STORE_UNREACHABLE": "The object store does not answer",
}

STATUS_OF_CODE: dict[Code, int] = {
    Code.MESSAGE_TOO_LARGE: 413,
    Code.INPUT_TOO_LARGE: 413,
    Code.QUOTA_EXCEEDED: 429,
    Code.TENANT_FORBIDDEN: 403,
    Code.TENANT_UNSIGNED: 403,
    Code.TENANT_SIGNATURE_INVALID: 403,
    Code.TENANT_SIGNATURE_EXPIRED: 403,
    Code.INPUT_FORBIDDEN: 403,
    Code.INPUT_NOT_FOUND: 422,
}
"""Of codes that a request is refused with; 422 for the others."""

OF_ERRORS: tuple[tuple[type[errors.ClientError], int, str], ...] = (
    (errors.JobPurged, 410, "JOB_PURGED"),
    (errors.JobEnded, 409, "JOB_ENDED"),
    (errors.JobConflict, 409, "JOB_CONFLICT"),
    (errors.JobNotFound, 404, "JOB_NOT_FOUND"),
    (errors.JobNotFinished, 409, "JOB_NOT_FINISHED"),
    (errors.JobWithoutResult, 409, "JOB_WITHOUT_RESULT"),
    (errors.PreviewNotFound, 404, "PREVIEW_NOT_FOUND"),
    (errors.DeadLetterNotFound, 404, "DEAD_LETTER_NOT_FOUND"),
    (errors.TopicMissing, 503, "TOPIC_MISSING"),
    (errors.BrokerUnreachable, 503, "BROKER_UNREACHABLE"),
    (errors.StoreUnreachable, 503, "STORE_UNREACHABLE"),
    (errors.TracesUnreachable, 503, "TRACES_UNREACHABLE"),
    (errors.TracesRefused, 502, "TRACES_REFUSED"),
    (errors.Unreachable, 503, "UNREACHABLE"),
    (errors.RecordRefused, 502, "RECORD_REFUSED"),
    (errors.PurgeIncomplete, 502, "PURGE_INCOMPLETE"),
    (errors.WaitTimeout, 504, "WAIT_TIMEOUT"),
    (errors.ArtifactUnavailable, 410, "ARTIFACT_UNAVAILABLE"),
    (errors.JobDocumentUnreadable, 500, "JOB_DOCUMENT_UNREADABLE"),
    (errors.InputBucketMissing, 500, "INPUT_BUCKET_MISSING"),
    (errors.InvalidDeployment, 500, "INVALID_DEPLOYMENT"),
    (errors.InvalidRequest, 422, str(Code.INVALID_REQUEST)),
)
"""The first class that matches counts: subclasses come first."""


def of_error(error: errors.ClientError) -> Problem:
    """The problem of an error of the client library."""
    if isinstance(error, errors.ArtifactUnavailable) and error.code is not None:
        return Problem(410, str(error.code), error.message, hint=error.hint)
    if isinstance(error, errors.InvalidRequest) and error.code is not None:
        return _refused(error.code, error.message, error.field, error.allowed)
    status, code = next(((s, c) for kind, s, c in OF_ERRORS if isinstance(error, kind)), (500, "INTERNAL"))
    return Problem(
        status,
        code,
        error.message,
        field=error.field if isinstance(error, errors.InvalidRequest) else None,
        hint=error.hint,
        details=tuple(error.details),
        retry_s=RETRY_S if status == 503 else None,
    )


def of_rejection(rejected: Rejected) -> Problem:
    """The problem of a request that the services' own checks refuse."""
    return _refused(rejected.code, rejected.message, rejected.field, rejected.allowed)


def _refused(code: Code, message: str, field: str | None, allowed: str | None) -> Problem:
    return Problem(STATUS_OF_CODE.get(code, 422), str(code), message, field=field, allowed=allowed)


def forbidden(message: str) -> Problem:
    """The caller's key does not allow this."""
    return Problem(403, "FORBIDDEN", message)
