"""The pipe protocol: typed records as JSON, one per message.

JSON, not pickle: the worker process has opened hostile media, and unpickling its records would run its code.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.codes import Code
from shared.messages.task import RenderTask
from shared.slot.marking import MAX_SIGNED_BYTES, Marking

Scalar = bool | int | float | str

MAX_RECORD_BYTES = 1 << 20
"""Longer records are not read: an attacker may control the worker process."""
# Limits for the same reason: a worker's values become events, headers, spans and object keys.
Text = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Count = Annotated[int, Field(ge=0, le=1 << 40)]
Time = Annotated[int, Field(ge=0, lt=1 << 63)]
MAX_ATTRIBUTES = 128
MAX_EVENTS = 128
"""Limits of one span and of the fields of one log line, as OpenTelemetry's; the worker observes them itself."""
MAX_AMOUNT = 1e9
"""Largest increase of a counter; an infinite counter would stay infinite."""
Attributes = Annotated[dict[str, Scalar], Field(max_length=MAX_ATTRIBUTES)]


def _not_zero(span_id: str) -> str:
    if not int(span_id, 16):
        raise ValueError("a span id is not zero")
    return span_id


SpanId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$"), AfterValidator(_not_zero)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Worker to parent.


class Ready(_Record):
    """The handler is loaded and can run tasks."""

    kind: Literal["ready"] = "ready"
    load_seconds: float
    unconfined: tuple[Text, ...] = ()
    """One line for each part of its confinement that the worker process lacks; see `shared.slot.confinement`."""


class NotLoaded(_Record):
    """A requirement of the handler is missing; the worker process ends after this."""

    kind: Literal["not_loaded"] = "not_loaded"
    reason: Text


class Progress(_Record):
    kind: Literal["progress"] = "progress"
    done: Count
    total: Count


class SpanEvent(_Record):
    name: Text
    time_ns: Time
    attributes: Attributes = Field(default_factory=dict)


class Span(_Record):
    """A finished span; ids as hex, the parent is another span of the worker or None for the task's span."""

    kind: Literal["span"] = "span"
    name: Text
    span_id: SpanId
    parent_id: SpanId | None = None
    start_ns: Time
    end_ns: Time
    attributes: Attributes = Field(default_factory=dict)
    events: tuple[SpanEvent, ...] = Field((), max_length=MAX_EVENTS)
    error: Text | None = None
    """Class of the exception that ended it. Not its text, which quotes what the handler works on."""


class Log(_Record):
    kind: Literal["log"] = "log"
    level: Literal["debug", "info", "warning", "error"]
    event: Text
    fields: dict[Name, JsonValue] = Field(default_factory=dict, max_length=MAX_ATTRIBUTES)


class Metric(_Record):
    """Increases a counter of the metric catalogue."""

    kind: Literal["metric"] = "metric"
    name: Name
    amount: float = Field(1.0, ge=0, le=MAX_AMOUNT)


class Warned(_Record):
    kind: Literal["warned"] = "warned"
    code: Code
    message: Text


class FileReady(_Record):
    """The next chunk of a sequence is at ``path``; the parent uploads and deletes it, then sends ChunkUploaded."""

    kind: Literal["file_ready"] = "file_ready"
    role: Role
    path: Text
    frames: int = Field(ge=1)
    codec: FrameCodec = RAW


class Segment(_Record):
    """A segment of the preview is at ``path``; the parent publishes and deletes it."""

    kind: Literal["segment"] = "segment"
    path: Text
    seconds: float = Field(ge=0, le=3600)
    """Its length; 0: it initialises a decoder."""


class Checkpoint(_Record):
    """A checkpoint is at ``path``; the parent stores and deletes it."""

    kind: Literal["checkpoint"] = "checkpoint"
    path: Text
    done: Count


class ChunkRequest(_Record):
    """Requests chunk ``index`` of a sequence; the answer is ChunkReady, or ChunksEnd where there is none."""

    kind: Literal["chunk_request"] = "chunk_request"
    role: Role
    index: Count


class Sign(_Record):
    """Requests the signature of a C2PA claim; the answer is Signed. The key never leaves the parent process."""

    kind: Literal["sign"] = "sign"
    data: Annotated[Base64Bytes, Field(max_length=MAX_SIGNED_BYTES)]


class Finished(_Record):
    kind: Literal["finished"] = "finished"
    files: dict[Role, Text]
    metadata: dict[Name, JsonValue]
    cpu_seconds: float = Field(0.0, ge=0, le=MAX_AMOUNT)
    """CPU time that the handler took, of all threads of the worker process, seconds."""


class Refused(_Record):
    """The handler raised Rejected: the user's input can't be rendered."""

    kind: Literal["refused"] = "refused"
    code: Code
    message: Text
    field: Text | None = None
    allowed: Text | None = None


class CancelledTask(_Record):
    kind: Literal["cancelled"] = "cancelled"


class DiskFull(_Record):
    """The disk is full: a fault of the machine, not of the task."""

    kind: Literal["disk_full"] = "disk_full"


class HandlerFailed(_Record):
    """The handler raised an unexpected exception."""

    kind: Literal["handler_failed"] = "handler_failed"
    exception: Text
    message: Text
    stack: str = Field(max_length=16_000)


# Parent to worker.


class Work(_Record):
    """One task: local files by role, an empty scratch folder."""

    kind: Literal["work"] = "work"
    job: RenderTask
    """Of a task that starts early, without the output of the stage that still makes its sequences."""
    inputs: dict[str, str]
    chunk_counts: dict[str, int] = Field(default_factory=dict)
    """Number of chunks of each sequence; without those that are still made."""
    codecs: dict[str, FrameCodec] = Field(default_factory=dict)
    """Codec of each sequence that is still made."""
    scratch: str
    checkpoint: str | None = None
    marking: Marking = Marking()
    """Of a stage that makes the finished video."""


class ChunkUploaded(_Record):
    """One of the announced chunks has been uploaded."""

    kind: Literal["chunk_uploaded"] = "chunk_uploaded"


class ChunkReady(_Record):
    kind: Literal["chunk_ready"] = "chunk_ready"
    role: str
    index: int
    path: str


class ChunksEnd(_Record):
    """The requested chunk does not exist: the sequence is complete. Only where its number of chunks was not known."""

    kind: Literal["chunks_end"] = "chunks_end"
    role: str
    job: RenderTask
    """The task, with the output of the stage that made the sequence."""


class Signed(_Record):
    """The signature that was requested, as COSE has it."""

    kind: Literal["signed"] = "signed"
    signature: Base64Bytes


class Cancel(_Record):
    kind: Literal["cancel"] = "cancel"


FromWorker = Annotated[
    Ready
    | NotLoaded
    | Progress
    | Span
    | Log
    | Metric
    | Warned
    | FileReady
    | Segment
    | Checkpoint
    | ChunkRequest
    | Sign
    | Finished
    | Refused
    | CancelledTask
    | DiskFull
    | HandlerFailed,
    Field(discriminator="kind"),
]
ToWorker = Annotated[Work | ChunkUploaded | ChunkReady | ChunksEnd | Signed | Cancel, Field(discriminator="kind")]
WorkResult = Finished | Refused | CancelledTask | DiskFull | HandlerFailed
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)
TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
