"""Documents that only the first writer can create: completion markers, request claims, terminal events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from shared.messages.events import TERMINAL, TerminalEvent
from shared.messages.refs import SHA256, InputRef
from shared.messages.task import StageOutput
from shared.storage import keys
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Documents

CLAIMS = 3
"""Number of attempts: a purge may delete the winner's document between the lost claim and its read."""

T = TypeVar("T", bound=BaseModel)


class RequestRecord(BaseModel):
    """The request that claimed a job id, with the SHA-256 of its body; another body under the same id is a conflict.

    It stays when the job is purged, without the inputs: a request that is delivered again is then not rendered again.
    """

    model_config = ConfigDict(frozen=True)

    request_id: str
    body_sha256: str = Field(pattern=SHA256)
    inputs: tuple[InputRef, ...] = Field((), description="Portrait and speech of a readable request.")
    purged_ms: int | None = Field(None, description="When the job was purged, milliseconds since the epoch.")


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """The result of a claim: the stored document, and whether this writer won."""

    winner: T
    won: bool


def read_completion(documents: Documents, tenant: str, job: str, stage: str) -> StageOutput | None:
    """The output of a completed stage; None when the stage has not completed.

    Raises ArtifactAltered, ArtifactRefused, StoreUnavailable, as the functions below do.
    """
    return _read(documents, keys.marker(tenant, job, stage), StageOutput.model_validate)


def claim_completion(
    documents: Documents, tenant: str, job: str, stage: str, output: StageOutput
) -> Claim[StageOutput]:
    """Complete a stage with this output, unless another attempt has. The artifacts must be stored before.

    The loser deletes its own artifacts and continues with the winner's.
    """
    return _claim(documents, keys.marker(tenant, job, stage), output, StageOutput.model_validate)


def claim_request(documents: Documents, tenant: str, job: str, record: RequestRecord) -> Claim[RequestRecord]:
    """Claim a job id for a request."""
    return _claim(documents, keys.request(tenant, job), record, RequestRecord.model_validate)


def read_request(documents: Documents, tenant: str, job: str) -> RequestRecord | None:
    """The request that claimed a job id; None when it is free."""
    return _read(documents, keys.request(tenant, job), RequestRecord.model_validate)


def replace_request_body(
    documents: Documents, tenant: str, job: str, *, old_sha256: str, new_sha256: str, inputs: tuple[InputRef, ...]
) -> bool:
    """Let a changed request have the job id of the request that it replaces; False when another one has it."""
    record = read_request(documents, tenant, job)
    if record is None or record.body_sha256 == new_sha256:
        return True
    if record.body_sha256 != old_sha256 or record.purged_ms is not None:
        return False
    changed = record.model_copy(update={"body_sha256": new_sha256, "inputs": inputs or record.inputs})
    documents.put(keys.request(tenant, job), changed.model_dump(mode="json"))
    return True


def record_purge(documents: Documents, tenant: str, job: str, record: RequestRecord, terminal: TerminalEvent) -> None:
    """Replace what is stored of a purged job's request and end by documents that hold no data of the user."""
    documents.put(keys.end(tenant, job), terminal.model_dump(mode="json"))
    documents.put(keys.request(tenant, job), record.model_dump(mode="json"))


def claim_end(documents: Documents, tenant: str, job: str, event: TerminalEvent) -> Claim[TerminalEvent]:
    """End a job with this terminal event, unless it has ended."""
    return _claim(documents, keys.end(tenant, job), event, TERMINAL.validate_python)


def read_end(documents: Documents, tenant: str, job: str) -> TerminalEvent | None:
    """The terminal event of a job; None while it has not ended."""
    return _read(documents, keys.end(tenant, job), TERMINAL.validate_python)


def _read(documents: Documents, key: str, parse: Callable[[JsonValue], T]) -> T | None:
    value = documents.get(key)
    if value is None:
        return None
    try:
        return parse(value)
    except ValidationError as error:
        raise ArtifactAltered(f"{key} does not have the form of this document") from error


def _claim(documents: Documents, key: str, document: T, parse: Callable[[JsonValue], T]) -> Claim[T]:
    for _ in range(CLAIMS):
        if documents.put_once(key, document.model_dump(mode="json")):
            return Claim(document, won=True)
        winner = _read(documents, key, parse)
        if winner is not None:
            return Claim(winner, won=False)
    raise ArtifactAltered(f"{key} was deleted each time it was claimed")
