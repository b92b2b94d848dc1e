"""Problems as gRPC statuses: one table, and what stands in the trailing metadata."""

import json
from typing import Any

import grpc

from stages.gateway.problems import Problem

Status = grpc.StatusCode
STATUS_OF_HTTP: dict[int, Any] = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    408: Status.DEADLINE_EXCEEDED,
    409: Status.FAILED_PRECONDITION,
    410: Status.NOT_FOUND,
    413: Status.INVALID_ARGUMENT,
    415: Status.INVALID_ARGUMENT,
    422: Status.INVALID_ARGUMENT,
    429: Status.RESOURCE_EXHAUSTED,
    500: Status.INTERNAL,
    502: Status.INTERNAL,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}
STATUS_OF_CODE = {"JOB_CONFLICT": Status.ALREADY_EXISTS}
"""Of codes for which gRPC has a better status than that of their HTTP status."""


def status_of(problem: Problem) -> Any:
    """The gRPC status of a problem."""
    return STATUS_OF_CODE.get(problem.code) or STATUS_OF_HTTP.get(problem.status, Status.UNKNOWN)


def trailers(problem: Problem, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata: the code, the field and the time as text, the whole problem as JSON."""
    found: list[tuple[str, str | bytes]] = [("lipstage-code", problem.code)]
    if problem.field is not None and problem.field.isascii() and problem.field.isprintable():
        found.append(("lipstage-field", problem.field))
    if problem.retry_s is not None:
        found.append(("retry-after-s", str(max(1, round(problem.retry_s)))))
    found.append(("lipstage-problem-bin", json.dumps(problem.as_json(request_id)).encode()))
    return tuple(found)
