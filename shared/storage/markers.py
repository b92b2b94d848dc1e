"""Documents that exactly one writer wins: a stage's completion, a job's request, a job's end."""

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
"""A purge may delete the winner's document between the claim that lost and the look at it: then it is free again."""

T = TypeVar("T", bound=BaseModel)


class RequestRecord(BaseModel):
    """Which record first claimed a job id, and the SHA-256 of its body: the same id with another body is a conflict."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    body_sha256: str = Field(pattern=SHA256)
    inputs: tuple[InputRef, ...] = Field((), description="Portrait and speech of a readable request.")


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """Outcome of a race: what is stored, and whether it is ours."""

    winner: T
    won: bool


def read_completion(documents: Documents, tenant: str, job: str, stage: str) -> StageOutput | None:
    """The output of a stage that has completed; None when it has not.

    Raises, as all below, ArtifactAltered, ArtifactRefused, StoreUnavailable.
    """
    return _read(documents, keys.marker(tenant, job, stage), StageOutput.model_validate)


def claim_completion(
    documents: Documents, tenant: str, job: str, stage: str, output: StageOutput
) -> Claim[StageOutput]:
    """Complete a stage with this output, unless another attempt has. Its artifacts must be stored before.

    The loser deletes its own artifacts and goes on with the winner's.
    """
    return _claim(documents, keys.marker(tenant, job, stage), output, StageOutput.model_validate)


def claim_request(documents: Documents, tenant: str, job: str, record: RequestRecord) -> Claim[RequestRecord]:
    """Claim a job id for a request."""
    return _claim(documents, keys.request(tenant, job), record, RequestRecord.model_validate)


def read_request(documents: Documents, tenant: str, job: str) -> RequestRecord | None:
    """Who claimed a job id; None while nobody has."""
    return _read(documents, keys.request(tenant, job), RequestRecord.model_validate)


def claim_end(documents: Documents, tenant: str, job: str, ending: TerminalEvent) -> Claim[TerminalEvent]:
    """End a job with this outcome, unless it has ended."""
    return _claim(documents, keys.end(tenant, job), ending, TERMINAL.validate_python)


def read_end(documents: Documents, tenant: str, job: str) -> TerminalEvent | None:
    """How a job ended; None while it has not."""
    return _read(documents, keys.end(tenant, job), TERMINAL.validate_python)


def _read(documents: Documents, key: str, parse: Callable[[JsonValue], T]) -> T | None:
    value = documents.get(key)
    if value is None:
        return None
    try:
        return parse(value)
    except ValidationError as error:
        raise ArtifactAltered(f"{key} has not the form of this document") from error


def _claim(documents: Documents, key: str, mine: T, parse: Callable[[JsonValue], T]) -> Claim[T]:
    for _ in range(CLAIMS):
        if documents.put_once(key, mine.model_dump(mode="json")):
            return Claim(mine, won=True)
        winner = _read(documents, key, parse)
        if winner is not None:
            return Claim(winner, won=False)
    raise ArtifactAltered(f"{key} was deleted each time it was claimed")
