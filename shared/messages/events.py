"""Events on ``render.events``: the state of a job as users see it. One of done, rejected, failed ends a job."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, Strict, TypeAdapter

from shared.messages.codes import Code
from shared.messages.json_text import json_text
from shared.messages.numbers import Boolean, Integer, Natural, Number, Positive
from shared.messages.pipeline import STAGES
from shared.messages.refs import ArtifactRef
from shared.messages.request import Batch
from shared.messages.task import JobWarning


def _require_type(schema: dict[str, JsonValue]) -> None:
    """``type`` selects the model, so a reader needs it; pydantic lists no field with a default as required."""
    required = schema.get("required")
    schema["required"] = ["type", *(required if isinstance(required, list) else ())]


Percent = Annotated[float, Strict(), Field(ge=0, le=100)]


class _Event(BaseModel):
    """Fields of every event. Readers ignore fields that they do not know."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra=_require_type)

    job_id: str
    tenant: str
    request_id: str
    time_ms: Integer = Field(description="Milliseconds since the epoch.")
    attempt: Positive = Field(1, description="Attempt of the stage that sends the event, from 1.")
    trace_id: str | None = Field(None, description="32 hex digits.")
    replays: Natural = Field(0, description="How often the job was replayed from a dead letter before this event.")
    sampled: Boolean = Field(True, description="Whether spans of the trace are exported: the flag in the traceparent.")
    batch: Batch | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class _Accountable(_Event):
    """Events from which the audit of renders is made; fields that an earlier version did not write are absent."""

    submitted_ms: Integer | None = Field(
        None, description="Broker's time of the request, milliseconds since the epoch; absent when it is not known."
    )
    department: str | None = Field(None, description="Department that the request names.")
    owner_hash: str | None = Field(None, description="Keyed hash of the owner that the request names.")
    consent: str | None = Field(None, description="The request's reference to a consent.")


class Accepted(_Accountable):
    """The request is valid; the job starts."""

    type: Literal["accepted"] = "accepted"
    engine: str


class Started(_Event):
    """A stage started an attempt."""

    type: Literal["started"] = "started"
    stage: str


class Progress(_Event):
    """Progress of a stage."""

    type: Literal["progress"] = "progress"
    stage: str
    percent: Percent
    done: Natural = Field(description="Units done; frames for infer and encode.")
    total: Natural


class Finished(_Event):
    """A stage published its output."""

    type: Literal["finished"] = "finished"
    stage: str
    seconds: Number
    cached: Boolean = False


class WarningGiven(_Event):
    """A warning for the user; the job continues."""

    type: Literal["warning"] = "warning"
    stage: str
    code: Code
    message: str


class Waiting(_Event):
    """A stage waits for the object store (STORE_UNAVAILABLE) or for disk space (NO_SPACE), until the next event."""

    type: Literal["waiting"] = "waiting"
    stage: str
    code: Code
    message: str


class Retrying(_Event):
    """An attempt of a stage failed; the stage makes the next one by itself, after the delay of a retry tier."""

    type: Literal["retrying"] = "retrying"
    stage: str
    code: Code
    message: str
    tier: str = Field(description="Name of the retry tier, for example 10s.")
    due_ms: Integer = Field(description="When the next attempt is due, milliseconds since the epoch.")
    next_attempt: Positive


class DeadLetterRef(BaseModel):
    """Where a dead letter is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    topic: str
    partition: Natural
    offset: Natural

    @property
    def id(self) -> str:
        """The id by which ``lipstage dlq`` names it: ``partition:offset``."""
        return f"{self.partition}:{self.offset}"


class Replayed(_Event):
    """A dead letter of the job was sent back: the job continues, and the ``failed`` event before does not end it."""

    type: Literal["replayed"] = "replayed"
    stage: str = Field(description="The stage that processes the record again.")
    dead_letter: DeadLetterRef


class Conflict(_Event):
    """Another request uses the id of an existing job; ``request_id`` is that of the refused request."""

    type: Literal["conflict"] = "conflict"
    message: str


class Purged(_Event):
    """Everything stored of the job was deleted, after its terminal event or instead of waiting for it."""

    type: Literal["purged"] = "purged"


class Done(_Accountable):
    """The video is ready."""

    type: Literal["done"] = "done"
    stage: str = Field(STAGES[-1], description="The stage that ended the job.")
    video: ArtifactRef
    poster: ArtifactRef
    duration_s: Number
    width: Natural
    height: Natural
    fps: Natural
    engine: str
    duration_asked_s: Number | None = None
    duration_gap_ms: Integer = 0
    container_drift_ms: Number
    lip_offset_ms: Number | None = Field(
        None, description="Mouth against sound, milliseconds, positive: video late; absent when it can't be measured."
    )
    audio_drift_ms: Integer = Field(description="The larger drift of container and lips, milliseconds.")
    quality: Number | None = Field(None, description="0..1; absent when it was not measured.")
    seconds: dict[str, Number] = Field(description="Wall seconds per stage.")
    gpu_seconds: Number | None = Field(None, description="Time on an accelerator, seconds; 0 on a CPU.")
    total_s: Number = Field(description="From the broker's time of the request to this event, seconds.")
    warnings: tuple[JobWarning, ...] = ()


class RejectedEvent(_Accountable):
    """The input of the user can't be rendered."""

    type: Literal["rejected"] = "rejected"
    stage: str
    code: Code
    message: str
    field: str | None = None
    allowed: str | None = None
    retry_at_ms: Integer | None = Field(
        None,
        description="With QUOTA_EXCEEDED: when to send the request again, milliseconds since the epoch; absent when it"
        " never fits the quota.",
    )


class Failed(_Accountable):
    """The render failed, expired or was cancelled. ``dead_letter`` names the record of a failed one."""

    type: Literal["failed"] = "failed"
    stage: str
    code: Code
    message: str
    dead_letter: DeadLetterRef | None = None


TerminalEvent = Done | RejectedEvent | Failed
"""The event that ends a job; each job has exactly one, and one more for each replay of its dead letter."""
AnyEvent = Annotated[
    Accepted
    | Started
    | Progress
    | Finished
    | WarningGiven
    | Waiting
    | Retrying
    | Replayed
    | Conflict
    | Purged
    | TerminalEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
TERMINAL: TypeAdapter[TerminalEvent] = TypeAdapter(Annotated[TerminalEvent, Field(discriminator="type")])

TERMINAL_TYPES = ("done", "rejected", "failed")
"""``type`` of each ``TerminalEvent``."""


def parse_event(value: bytes | None) -> AnyEvent:
    """Read the value of a record on ``render.events``. Raises ValidationError."""
    return EVENT.validate_json(json_text(value or b""))
