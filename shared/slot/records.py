"""The pipe protocol: typed records as JSON, one per message.

JSON and not pickle: the child has opened hostile media, and unpickling what it sends would run its code here.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from shared.messages.codes import Code
from shared.messages.task import RenderTask

Scalar = bool | int | float | str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# Child to parent.


class Ready(_Record):
    """The handler is loaded; tasks may come."""

    kind: Literal["ready"] = "ready"
    load_seconds: float


class Progress(_Record):
    kind: Literal["progress"] = "progress"
    done: int
    total: int


class SpanEvent(_Record):
    name: str
    time_ns: int
    attributes: dict[str, Scalar] = Field(default_factory=dict)


class SpanError(_Record):
    type: str
    message: str


class Span(_Record):
    """A finished span; ids as hex, the parent is another span of the child or None for the task's own."""

    kind: Literal["span"] = "span"
    name: str
    span_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    parent_id: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    start_ns: int
    end_ns: int
    attributes: dict[str, Scalar] = Field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    error: SpanError | None = None


class Log(_Record):
    kind: Literal["log"] = "log"
    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: dict[str, JsonValue] = Field(default_factory=dict)


class Metric(_Record):
    """A counter of the catalogue goes up."""

    kind: Literal["metric"] = "metric"
    name: str
    amount: float = 1.0


class Warned(_Record):
    kind: Literal["warned"] = "warned"
    code: Code
    message: str


class FileReady(_Record):
    """The next chunk of a sequence lies at ``path``; the parent uploads and deletes it, then says Shipped."""

    kind: Literal["file_ready"] = "file_ready"
    role: str
    path: str
    frames: int


class Want(_Record):
    """The child wants chunk ``index`` of a sequence; the answer is ChunkReady."""

    kind: Literal["want"] = "want"
    role: str
    index: int


class Finished(_Record):
    kind: Literal["finished"] = "finished"
    files: dict[str, str]
    facts: dict[str, JsonValue]


class Refused(_Record):
    """The user's input can't be rendered."""

    kind: Literal["refused"] = "refused"
    code: Code
    message: str
    field: str | None = None
    allowed: str | None = None


class CancelledTask(_Record):
    kind: Literal["cancelled"] = "cancelled"


class Broken(_Record):
    """The handler raised something it should not have."""

    kind: Literal["broken"] = "broken"
    exception: str
    message: str
    stack: str


# Parent to child.


class Work(_Record):
    """One task: local files by role, an empty scratch folder."""

    kind: Literal["work"] = "work"
    job: RenderTask
    inputs: dict[str, str]
    chunk_counts: dict[str, int] = Field(default_factory=dict)
    scratch: str


class Shipped(_Record):
    """One chunk of those announced has been uploaded."""

    kind: Literal["shipped"] = "shipped"


class ChunkReady(_Record):
    kind: Literal["chunk_ready"] = "chunk_ready"
    role: str
    index: int
    path: str


class Cancel(_Record):
    kind: Literal["cancel"] = "cancel"


FromChild = Annotated[
    Ready | Progress | Span | Log | Metric | Warned | FileReady | Want | Finished | Refused | CancelledTask | Broken,
    Field(discriminator="kind"),
]
ToChild = Annotated[Work | Shipped | ChunkReady | Cancel, Field(discriminator="kind")]
Ending = Finished | Refused | CancelledTask | Broken
FROM_CHILD: TypeAdapter[FromChild] = TypeAdapter(FromChild)
TO_CHILD: TypeAdapter[ToChild] = TypeAdapter(ToChild)
