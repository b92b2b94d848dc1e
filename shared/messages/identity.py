"""Which job a record on ``render.requests`` is, so that a redelivery is the same job."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid5

from pydantic import Field, TypeAdapter, ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.request import JOB_ID, NAME, Batch, Labels, RenderRequest
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.text import hidden
from shared.messages.wording import PATTERNS

NAMESPACE = UUID("6f7e2c1a-5d0b-5c57-9a3e-2b8f4d1c7e90")
"""Of our UUIDv5 ids. Never changes: redelivered records would become new jobs."""


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """The job, and the very record that asked for it."""

    job_id: str
    request_id: str
    """Of the record, see ``request_id``: two records under one job id differ in it."""


def request_id(topic: str, partition: int, offset: int, value: bytes | None) -> str:
    """The id of a record: UUIDv5 of its coordinates and its value's SHA-256, the same on every redelivery.

    Coordinates alone come again when a topic is made anew or a new broker meets an old bucket.
    """
    digest = hashlib.sha256(value or b"").hexdigest()
    return str(uuid5(NAMESPACE, f"{topic}:{partition}:{offset}:{digest}"))


def identify(
    request: RenderRequest, key: bytes | None, topic: str, partition: int, offset: int, value: bytes | None
) -> JobIdentity:
    """Job id: the body's ``job_id``, else the record's key, else the record's own id.

    ``value`` is what ``request`` was read from. An empty key counts as none. Raises Rejected: KEY_MISMATCH when key and
    body both name a job and differ, INVALID_REQUEST (field ``key``) when the key alone names it and is no valid job id.
    """
    record = request_id(topic, partition, offset, value)
    named = key.decode(errors="replace") if key else None
    if request.job_id is not None:
        if named is not None and named != request.job_id:
            raise Rejected(
                Code.KEY_MISMATCH,
                "The record's key and the body's job_id name different jobs; give one of them, or both alike.",
                field="job_id",
                allowed="the same id as the record's key",
            )
        return JobIdentity(request.job_id, record)
    if named is None:
        return JobIdentity(record, record)
    if not _is_job_id(named):
        raise Rejected(
            Code.INVALID_REQUEST,
            "The record's key is taken as the job id, but is none: send a valid id, or no key.",
            field="key",
            allowed=PATTERNS[JOB_ID],
        )
    return JobIdentity(named, record)


@dataclass(frozen=True, slots=True)
class BestEffortIdentity:
    """What can be told of a request that is refused, so that its event reaches whoever waits for it."""

    identity: JobIdentity
    tenant: str = "default"
    batch: Batch | None = None
    labels: dict[str, str] = field(default_factory=dict)


def identify_best_effort(
    value: bytes | None, key: bytes | None, topic: str, partition: int, offset: int
) -> BestEffortIdentity:
    """Identity and echoed fields of a record that was rejected; never raises.

    The job id is the one the sender will look for, when body and key leave no doubt of it; else the record's own id,
    so that a refused record can't end another job by a key that differs from its body.
    """
    record = request_id(topic, partition, offset, value)
    body = _object(value)
    named = key.decode(errors="replace") if key else None
    stated = body.get("job_id")
    if stated is None:
        job_id = named if named is not None and _is_job_id(named) else record
    else:
        job_id = str(stated) if _is_job_id(stated) and named in (None, stated) else record
    return BestEffortIdentity(
        JobIdentity(job_id, record),
        _valid(_TENANT, body.get("tenant")) or "default",
        _valid(_BATCH, body.get("batch")),
        _labels(body.get("labels")),
    )


_TENANT: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=NAME)])
_BATCH: TypeAdapter[Batch] = TypeAdapter(Batch)
_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)
T = TypeVar("T")


def _valid(adapter: TypeAdapter[T], value: object) -> T | None:
    try:
        return adapter.validate_python(value, strict=True, extra="ignore")
    except ValidationError:
        return None


def _labels(value: object) -> dict[str, str]:
    """Labels that may be repeated to whoever reads events."""
    labels = _valid(_LABELS, value) or {}
    return {} if any(hidden(text) for pair in labels.items() for text in pair) else labels


def _object(value: bytes | None) -> dict[str, Any]:
    if not value or len(value) > MAX_ENVELOPE_BYTES:
        return {}
    try:
        body = json.loads(value.decode())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _is_job_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(JOB_ID, text) is not None
