"""The answers of the API as models: what its OpenAPI document says of them, and its tests hold them to."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.access.api_keys import Role

EPOCH = "milliseconds since the epoch"


JobStatus = Literal["queued", "accepted", "running", "waiting", "done", "rejected", "failed", "cancelled", "purged"]


class Links(BaseModel):
    """Paths of a render."""

    self: str
    events: str


class Submitted(BaseModel):
    """A request that Kafka has."""

    job_id: str
    tenant: str
    trace_id: str | None = Field(description="None where the request was submitted before.")
    is_repeat: bool
    links: Links


class BatchPlace(BaseModel):
    """Place of a render in its batch."""

    id: str
    index: int
    total: int


class Stage(BaseModel):
    """One stage's part of a render."""

    state: Literal["waiting", "running", "finished"]
    percent: float
    seconds: float | None
    cached: bool


class Warned(BaseModel):
    """A warning with its public code."""

    code: str
    message: str


class Render(BaseModel):
    """The state of a render. Times are milliseconds since the epoch."""

    job_id: str
    tenant: str
    status: JobStatus | Literal["refused"] = Field(
        description="`refused`: in a batch, where another request has the job id."
    )
    engine: str | None
    stage: str | None
    first_ms: int
    last_ms: int
    trace_id: str | None
    sampled: bool
    batch: BatchPlace | None
    purged_ms: int | None
    submitted_ms: int | None
    department: str | None
    owner_hash: str | None
    consent: str | None
    labels: dict[str, str]
    stages: dict[str, Stage]
    waiting: dict[str, Any] | None = Field(
        description="stage, code, message; for a retry also tier, due_ms, next_attempt."
    )
    replays: int
    warnings: list[Warned]
    terminal_event: dict[str, Any] | None = Field(description="The event `done`, `rejected` or `failed`.")


class Page(BaseModel):
    """Renders, newest first."""

    renders: list[Render]
    next: str | None = Field(description="`after` of the next page; null at the end.")


class Cancelled(BaseModel):
    """The answer to a cancel command."""

    job_id: str
    status: Literal["cancelled", "cancelling"]


class Count(BaseModel):
    """A number of objects, and their size."""

    objects: int
    bytes: int


class Purged(BaseModel):
    """What was deleted of a render, and what is kept, by class of object."""

    job_id: str
    status: Literal["purged"]
    deleted: dict[str, Count]
    kept: dict[str, Count]
    event_published: bool
    dead_letters: list[str]
    dead_letters_read: bool
    records_kept: list[str] = Field(description="Topics that hold records of the job until their retention.")
    records_until: dict[str, int | None] = Field(description="Until when; null: for ever.")
    versions_unchecked: list[str]


class Reference(BaseModel):
    """An object of an input bucket, as a request names it."""

    bucket: str
    key: str
    size: int | None = None


class Upload(BaseModel):
    """Where to post one file: `fields` as parts of the form, then the part `file`."""

    url: str
    fields: dict[str, str]
    expires_ms: int
    reference: Reference


class BatchRow(BaseModel):
    """One render of a batch: `job_id` where it was submitted, else `problem`."""

    index: int
    job_id: str | None = None
    is_repeat: bool | None = None
    problem: dict[str, Any] | None = None


class SubmittedBatch(BaseModel):
    """A batch that was submitted."""

    batch_id: str
    renders: list[BatchRow]


class BatchState(BaseModel):
    """The renders of a batch, in its order."""

    batch_id: str
    tenant: str
    total: int
    known: int
    ended: int
    has_ended: bool
    counts: dict[str, int] = Field(description="Number of renders by status.")
    cut: bool = Field(description="Older events were left unread: renders may be missing.")
    renders: list[Render]


class CancelledBatch(BaseModel):
    """The renders that were cancelled."""

    batch_id: str
    cancelled: list[str]


class NotPurged(BaseModel):
    """A render of a batch that was not deleted, and why."""

    job_id: str
    problem: dict[str, Any]


class PurgedBatch(BaseModel):
    """What was deleted of a batch."""

    batch_id: str
    renders: list[Purged | NotPurged]


class DeadLetter(BaseModel):
    """A dead letter, explained: what its list has, its record, and what can be done."""

    id: str
    code: str
    key: Any
    value: Any
    headers: list[Any]
    errors: dict[str, str]
    what_was_done: dict[str, Any] | None
    objects: list[dict[str, Any]]
    history: list[dict[str, Any]]
    would_fail_the_same_way: bool


class DeadLetters(BaseModel):
    """The newest dead letters that match."""

    dead_letters: list[dict[str, Any]]
    more: bool


class Replay(BaseModel):
    """The plan of a replay, and with `go` its result."""

    go: bool
    plan: dict[str, Any]
    run_id: str | None = None
    sent: int | None = None
    parked: int | None = None
    failed: int | None = None
    refused: int | None = None
    errors: list[str] | None = None


class Parameter(BaseModel):
    """What a parameter of a request may be."""

    type: Literal["integer", "number", "string", "boolean", "any"]
    minimum: float | None
    maximum: float | None
    multiple_of: float | None
    choices: list[str] | None
    default: Any
    about: str
    advice: str | None = Field(description="What is valid and rarely intended, in words.")
    advised_minimum: int | None = Field(description="Smaller values get a warning.")
    values: str = Field(description="Kind and range in words.")


class Limits(BaseModel):
    """What the gateway takes."""

    portrait_mb: int = Field(description="MiB")
    speech_mb: int = Field(description="MiB")
    max_batch: int


class Parameters(BaseModel):
    """Engines, parameters with their ranges, and limits of this deployment."""

    engines: list[str]
    params: dict[str, Parameter]
    engine_params: dict[str, dict[str, Parameter]]
    limits: Limits
    output_buckets: list[str] = Field(description="Aliases for `output.bucket`; a preview needs one.")


class Me(BaseModel):
    """Whom the API key speaks for."""

    tenant: str
    role: Role
    key_id: str
    version: str
    keys: bool = Field(description="Whether this gateway asks for keys.")


class Ok(BaseModel):
    """The gateway answers."""

    ok: Literal[True]


class StageHealth(BaseModel):
    """The consumer group of a stage."""

    stage: str
    engine: str | None
    lag: int | None = Field(description="Records not yet committed; null where the broker does not tell.")
    members: int | None = Field(description="Running services; null where the broker does not tell.")


class Stages(BaseModel):
    """The stages of the pipeline, in order."""

    stages: list[StageHealth]


class TraceSpan(BaseModel):
    """A span of a render's traces."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    start_ms: float
    duration_ms: float
    error: str | None


class TraceLinks(BaseModel):
    """Where people see the trace."""

    tempo: str | None
    grafana: str | None


class Trace(BaseModel):
    """The spans of a render, the oldest first; of replays, too."""

    trace_id: str | None = Field(description="Of the request.")
    spans: list[TraceSpan]
    links: TraceLinks


class Problem(BaseModel):
    """An error (RFC 9457): `code` is stable, `field` names what is at fault, `allowed` its range in words."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    allowed: str | None = None
    hint: str | None = None
    details: list[str] | None = None
    request_id: str
