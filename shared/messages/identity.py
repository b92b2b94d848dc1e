"""Job id of a record, stable over redeliveries; best effort for a record that can't be read."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid5

from pydantic import Field, TypeAdapter, ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.headers import read_headers
from shared.messages.json_text import json_text
from shared.messages.names import DEFAULT_TENANT, JOB_ID, NAME
from shared.messages.request import Batch, Labels, RenderRequest
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.text import find_control_character
from shared.messages.validation.wording import PATTERNS

NAMESPACE = UUID("6f7e2c1a-5d0b-5c57-9a3e-2b8f4d1c7e90")
"""Namespace of the UUIDv5 ids. It never changes: redelivered records would become new jobs."""


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """A job, and the record that requested it."""

    job_id: str
    request_id: str
    """Id of the record, see ``request_id()``: two records with one job id differ in it."""


def request_id(topic: str, partition: int, offset: int, value: bytes | None) -> str:
    """Id of a record: UUIDv5 of its coordinates and the SHA-256 of its value, the same on every redelivery.

    Coordinates alone repeat when a topic is created again or a new broker is used with an existing bucket.
    """
    digest = hashlib.sha256(value or b"").hexdigest()
    return str(uuid5(NAMESPACE, f"{topic}:{partition}:{offset}:{digest}"))


def identify(
    request: RenderRequest, key: bytes | None, topic: str, partition: int, offset: int, value: bytes | None
) -> JobIdentity:
    """Job id: the ``job_id`` of the body, else the record key, else the id of the record itself.

    ``value`` is what ``request`` was read from. An empty key counts as none. Raises Rejected: KEY_MISMATCH when key and
    body name different jobs, INVALID_REQUEST (field ``key``) when only the key names a job and it is no valid job id.
    """
    record = request_id(topic, partition, offset, value)
    key_text = _text(key)
    if request.job_id is not None:
        if key_text is not None and key_text != request.job_id:
            raise Rejected(
                Code.KEY_MISMATCH,
                "The record key and the job_id of the body name different jobs; send one of them, or the same in both.",
                field="job_id",
                allowed="the same id as the record key",
            )
        return JobIdentity(request.job_id, record)
    if key_text is None:
        return JobIdentity(record, record)
    if not _is_job_id(key_text):
        raise Rejected(
            Code.INVALID_REQUEST,
            "The record key is used as the job id, and is not a valid one: send a valid id, or no key.",
            field="key",
            allowed=PATTERNS[JOB_ID],
        )
    return JobIdentity(key_text, record)


@dataclass(frozen=True, slots=True)
class BestEffortIdentity:
    """The job of a record that can't be processed, and the fields that its event echoes."""

    identity: JobIdentity
    tenant: str = DEFAULT_TENANT
    batch: Batch | None = None
    labels: dict[str, str] = field(default_factory=dict)


def identify_best_effort(
    value: bytes | None, key: bytes | None, topic: str, partition: int, offset: int
) -> BestEffortIdentity:
    """Identity and echoed fields of a rejected record on ``render.requests``; never raises.

    The job id is the one the sender waits for, when body and key agree on it; else the id of the record itself, so
    that a rejected record can't end another job by a key that differs from its body.
    """
    record = request_id(topic, partition, offset, value)
    body = _object(value)
    key_text = _text(key)
    body_job_id = body.get("job_id")
    if body_job_id is None:
        job_id = key_text if key_text is not None and _is_job_id(key_text) else record
    else:
        job_id = str(body_job_id) if _is_job_id(body_job_id) and key_text in (None, body_job_id) else record
    return _with_echoed_fields(JobIdentity(job_id, record), _valid(_TENANT, body.get("tenant")), body)


def named_tenant(value: bytes | None) -> str | None:
    """The tenant that the body of a request names, valid or not as a whole; None when it names none. Never raises."""
    body = _object(value)
    return _valid(_TENANT, body.get("tenant"))


def identify_task_best_effort(
    value: bytes | None, key: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None
) -> BestEffortIdentity | None:
    """The job of a record on an internal topic that can't be read as a ``RenderTask``; never raises.

    Job id and tenant come from the ``ce_*`` headers, the body and, for the job id, the record key. None when none of
    them is a valid job id, or when two valid ones differ in job id or tenant: an altered record must not end another
    job. The tenant is the default one when nothing names it. ``request_id`` is empty when the body does not name it;
    the stored request of the job has it.
    """
    header_values = read_headers(headers)
    body = _object(value)
    request = body.get("request")
    request = request if isinstance(request, dict) else {}
    job_ids = {text for text in (header_values.job_id, body.get("job_id"), _text(key)) if _is_job_id(text)}
    tenants = {text for text in (header_values.tenant, _valid(_TENANT, request.get("tenant"))) if text is not None}
    if len(job_ids) != 1 or len(tenants) > 1:
        return None
    record = _valid(_REQUEST_ID, body.get("request_id")) or ""
    identity = JobIdentity(str(job_ids.pop()), record)
    return _with_echoed_fields(identity, tenants.pop() if tenants else None, request)


def _with_echoed_fields(identity: JobIdentity, tenant: str | None, request: dict[str, Any]) -> BestEffortIdentity:
    batch, labels = _valid(_BATCH, request.get("batch")), _labels(request.get("labels"))
    return BestEffortIdentity(identity, tenant or DEFAULT_TENANT, batch, labels)


_TENANT: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=NAME)])
_REQUEST_ID: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")])
_BATCH: TypeAdapter[Batch] = TypeAdapter(Batch)
_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)
T = TypeVar("T")


def _valid(adapter: TypeAdapter[T], value: object) -> T | None:
    try:
        return adapter.validate_python(value, strict=True, extra="ignore")
    except ValidationError:
        return None


def _labels(value: object) -> dict[str, str]:
    """Valid labels without control characters: readers of events may show them."""
    labels = _valid(_LABELS, value) or {}
    return {} if any(find_control_character(text) for pair in labels.items() for text in pair) else labels


def _object(value: bytes | None) -> dict[str, Any]:
    if not value or len(value) > MAX_ENVELOPE_BYTES:
        return {}
    try:
        body = json.loads(json_text(value).decode())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _text(key: bytes | None) -> str | None:
    """A record key as text; an empty key counts as none."""
    return key.decode(errors="replace") if key else None


def _is_job_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(JOB_ID, text) is not None
