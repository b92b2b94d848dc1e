"""The records of erasures in the artifact bucket: what was deleted of which job and when, and what stays until when.

A record holds no data of the user. It is written once and never replaced; the bucket's lifecycle rule deletes it.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

import shared
from shared.client.connection import Connection
from shared.client.errors import PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.purged_objects import Deletion
from shared.storage import keys
from shared.storage.errors import ArtifactAltered, StorageError, StoreUnavailable


class Erased(BaseModel):
    """Number and bytes of objects of a class."""

    model_config = ConfigDict(frozen=True)

    objects: int
    bytes: int


class ErasureRecord(BaseModel):
    """What one erasure deleted."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    job_id: str | None
    """None: cached outputs and uploads whose job has expired, and used quotas and endpoints of a tenant."""
    erased_ms: int
    """Milliseconds since the epoch."""
    version: str
    """Version of lipstage that erased."""
    deleted: dict[str, Erased]
    kept: dict[str, Erased]
    records_until: dict[str, int | None]
    """Until when each topic keeps records of the job, milliseconds since the epoch; None: for ever."""


def add(
    connection: Connection, job: JobKey, now_ms: int, deletion: Deletion, records_until: Mapping[str, int | None]
) -> None:
    """Add a record; an empty job id stands for what belongs to no job. Raises StoreUnavailable, ArtifactRefused."""
    record = ErasureRecord(
        tenant=job.tenant,
        job_id=job.job_id or None,
        erased_ms=now_ms,
        version=shared.__version__,
        deleted={name: Erased(**asdict(count)) for name, count in deletion.deleted.items()},
        kept={name: Erased(**asdict(count)) for name, count in deletion.kept.items()},
        records_until=dict(records_until),
    )
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{moment}-{job.job_id or 'inputs'}-{uuid.uuid4().hex[:8]}"
    connection.documents.put_once(keys.erasure(job.tenant, name), record.model_dump(mode="json"))


def read(connection: Connection, tenant: str | None = None) -> Iterator[ErasureRecord]:
    """All records, or those of a tenant, the oldest of each tenant first; one that can't be read is skipped.

    Raises StoreUnreachable, PurgeIncomplete when the bucket can't be listed.
    """
    prefix = keys.ERASURES if tenant is None else keys.erasures_prefix(tenant)
    try:
        for entry in connection.artifacts.list_prefix(prefix):
            try:
                yield ErasureRecord.model_validate(connection.documents.get(entry.key))
            except (ArtifactAltered, ValidationError):
                continue
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except StorageError as e:
        raise PurgeIncomplete(f"the records of erasures can't be read: {e}") from None
