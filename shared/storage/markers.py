"""Documents that the first writer decides: completion markers, request claims, terminal events.

A replay continues a job that has failed: `continue_job` replaces its terminal event by a document that names the
replay, under the condition that the event is still the stored one (``If-Match``), and the end of the replay replaces
that document in the same way. Nothing is deleted, so two deliveries of a replay, and a service that dies between two
steps, leave one end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from shared.messages.codes import Code
from shared.messages.events import Done, Failed, RejectedEvent, TerminalEvent
from shared.messages.refs import SHA256, InputRef, OutputRef
from shared.messages.task import StageOutput
from shared.storage import keys
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Documents

CLAIMS = 5
"""Number of attempts: a purge may delete the winner's document between the lost claim and its read, and a replay may
continue and end a job meanwhile."""

T = TypeVar("T", bound=BaseModel)


class RequestRecord(BaseModel):
    """The request that claimed a job id, with the SHA-256 of its body; another body under the same id is a conflict.

    It stays when the job is purged, without the inputs: a request that is delivered again is then not rendered again.
    """

    model_config = ConfigDict(frozen=True)

    request_id: str
    body_sha256: str = Field(pattern=SHA256)
    inputs: tuple[InputRef, ...] = Field((), description="Portrait and speech of a readable request.")
    owner: str | None = Field(
        None,
        description="Owner that the request names, by which its jobs are purged; empty when it names none, null when"
        " an earlier version stored the document, and after a purge.",
    )
    output: OutputRef | None = Field(
        None, description="Where the request has its finished files copied; null after a purge."
    )
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
    documents: Documents,
    tenant: str,
    job: str,
    *,
    old_sha256: str,
    new_sha256: str,
    names: tuple[tuple[InputRef, ...], str, OutputRef | None] | None,
) -> bool:
    """Let a changed request have the job id of the request that it replaces; False when another one has it.

    ``names``: inputs, owner (empty for none) and output of the changed request; None when it can't be read.
    """
    record = read_request(documents, tenant, job)
    if record is None or record.body_sha256 == new_sha256:
        return True
    if record.body_sha256 != old_sha256 or record.purged_ms is not None:
        return False
    inputs, owner, output = names or (record.inputs, record.owner, record.output)
    changed = record.model_copy(update={"body_sha256": new_sha256, "inputs": inputs, "owner": owner, "output": output})
    documents.put(keys.request(tenant, job), changed.model_dump(mode="json"))
    return True


def record_purge(documents: Documents, tenant: str, job: str, record: RequestRecord, terminal: TerminalEvent) -> None:
    """Replace what is stored of a purged job's request and end by documents that hold no data of the user."""
    documents.put(keys.end(tenant, job), terminal.model_dump(mode="json"))
    documents.put(keys.request(tenant, job), record.model_dump(mode="json"))


class Continued(BaseModel):
    """What is stored instead of the terminal event while a replay continues the job."""

    model_config = ConfigDict(frozen=True)

    type: Literal["continued"] = "continued"
    replays: int = Field(ge=1, description="Number of the replay.")
    ended: Failed
    """The terminal event before the replay."""


StoredEnd = Continued | Done | RejectedEvent | Failed
_END: TypeAdapter[StoredEnd] = TypeAdapter(Annotated[StoredEnd, Field(discriminator="type")])


def claim_end(
    documents: Documents, tenant: str, job: str, event: TerminalEvent, *, of_any_replay: bool = False
) -> Claim[TerminalEvent]:
    """End a job with this terminal event, unless it has ended.

    The end of a replay (``event.replays``) also replaces the end of an earlier one, unless that is final: see
    ``continue_job``. The end of an earlier replay than the current one ends nothing. With ``of_any_replay`` the event
    ends whatever replay is current, and gets its number.
    """
    key = keys.end(tenant, job)
    for _ in range(CLAIMS):
        if documents.put_once(key, event.model_dump(mode="json")):
            return Claim(event, won=True)
        stored = documents.get(key)
        if stored is None:
            continue
        end = _parsed(key, stored, _END.validate_python)
        if isinstance(end, Continued):
            if of_any_replay and end.replays > event.replays:
                event = event.model_copy(update={"replays": end.replays})
            if end.replays > event.replays:
                return Claim(end.ended, won=False)
        elif not is_replayable(end) or event.replays <= end.replays:
            return Claim(end, won=False)
        if documents.replace(key, stored, event.model_dump(mode="json")):
            return Claim(event, won=True)
    raise ArtifactAltered(f"{key} was changed each time it was claimed")


def continue_job(documents: Documents, tenant: str, job: str, replays: int) -> TerminalEvent | None:
    """Let replay number ``replays`` continue a job; 0 stands for the job before any replay.

    Returns None when the job may be processed: it has not ended, or it failed before this replay, and then it has not
    ended any more. Else returns the terminal event that stands: of a job that is done, rejected or cancelled; or one
    of this replay or a later one. While a later replay continues the job, this one may not, and the event is that
    before the later one.
    """
    key = keys.end(tenant, job)
    for _ in range(CLAIMS):
        stored = documents.get(key)
        if stored is None:
            return None
        end = _parsed(key, stored, _END.validate_python)
        if isinstance(end, Continued) and end.replays == replays:
            return None
        ended = end.ended if isinstance(end, Continued) else end
        if not isinstance(ended, Failed) or not is_replayable(ended) or replays <= end.replays:
            return ended
        continued = Continued(replays=replays, ended=ended)
        if documents.replace(key, stored, continued.model_dump(mode="json")):
            return None
    raise ArtifactAltered(f"{key} was changed each time it was claimed")


def is_replayable(end: TerminalEvent) -> bool:
    """Whether a replay can continue a job with this end: not one that is done, rejected or cancelled by its user."""
    return isinstance(end, Failed) and end.code is not Code.CANCELLED


def read_end(documents: Documents, tenant: str, job: str) -> TerminalEvent | None:
    """The terminal event of a job; None while it has not ended, or a replay continues it."""
    end = _read(documents, keys.end(tenant, job), _END.validate_python)
    return None if isinstance(end, Continued) else end


def is_continued(documents: Documents, tenant: str, job: str) -> bool:
    """Whether the job has failed, and a replay continues it. Raises as ``read_completion``."""
    return isinstance(_read(documents, keys.end(tenant, job), _END.validate_python), Continued)


def _read(documents: Documents, key: str, parse: Callable[[JsonValue], T]) -> T | None:
    value = documents.get(key)
    return None if value is None else _parsed(key, value, parse)


def _parsed(key: str, value: JsonValue, parse: Callable[[JsonValue], T]) -> T:
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
