"""Events on ``render.events``: the state of a job as users see it. One of done, rejected, failed ends a job."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.messages.codes import Code
from shared.messages.refs import ArtifactRef
from shared.messages.request import Batch
from shared.messages.task import JobWarning


class _Event(BaseModel):
    """Fields of every event. Readers ignore fields that they do not know."""

    model_config = ConfigDict(extra="allow", frozen=True)

    job_id: str
    tenant: str
    request_id: str
    time_ms: int = Field(description="Milliseconds since the epoch.")
    attempt: int = Field(1, ge=1, description="Attempt of the stage that sends the event, from 1.")
    trace_id: str | None = Field(None, description="32 hex digits.")
    batch: Batch | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class Accepted(_Event):
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
    percent: float = Field(ge=0, le=100)
    done: int = Field(ge=0, description="Units done; frames for infer and encode.")
    total: int = Field(ge=0)


class Finished(_Event):
    """A stage published its output."""

    type: Literal["finished"] = "finished"
    stage: str
    seconds: float
    cached: bool = False


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


class Conflict(_Event):
    """Another request uses the id of an existing job; ``request_id`` is that of the refused request."""

    type: Literal["conflict"] = "conflict"
    message: str


class Purged(_Event):
    """Everything stored of the job was deleted, after its terminal event or instead of waiting for it."""

    type: Literal["purged"] = "purged"


class Done(_Event):
    """The video is ready."""

    type: Literal["done"] = "done"
    video: ArtifactRef
    poster: ArtifactRef
    duration_s: float
    width: int
    height: int
    fps: int
    engine: str
    duration_asked_s: float | None = None
    duration_gap_ms: int = 0
    container_drift_ms: float
    lip_offset_ms: float | None = Field(
        None, description="Mouth against sound, milliseconds, positive: video late; absent when it can't be measured."
    )
    audio_drift_ms: int = Field(description="The larger drift of container and lips, milliseconds.")
    quality: float | None = Field(None, description="0..1; absent when it was not measured.")
    seconds: dict[str, float] = Field(description="Wall seconds per stage.")
    total_s: float = Field(description="From the broker's time of the request to this event, seconds.")
    warnings: tuple[JobWarning, ...] = ()


class RejectedEvent(_Event):
    """The input of the user can't be rendered."""

    type: Literal["rejected"] = "rejected"
    stage: str
    code: Code
    message: str
    field: str | None = None
    allowed: str | None = None


class Failed(_Event):
    """The render failed or was cancelled; unless cancelled, the record is on the dead-letter topic."""

    type: Literal["failed"] = "failed"
    stage: str
    code: Code
    message: str


TerminalEvent = Done | RejectedEvent | Failed
"""The event that ends a job; each job has exactly one."""
AnyEvent = Annotated[
    Accepted | Started | Progress | Finished | WarningGiven | Waiting | Conflict | Purged | TerminalEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
TERMINAL: TypeAdapter[TerminalEvent] = TypeAdapter(Annotated[TerminalEvent, Field(discriminator="type")])
TERMINAL_TYPES = ("done", "rejected", "failed")
"""``type`` of each ``TerminalEvent``."""
