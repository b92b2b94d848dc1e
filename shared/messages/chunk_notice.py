"""The notice that a stage has stored the next chunk of a sequence: the following stage may start on it early.

A notice is a hint. Nothing depends on its arrival: a stage that gets none starts when it has its task.
"""

from pydantic import BaseModel, ConfigDict, Field

from shared.messages.chunks import RAW, FrameCodec
from shared.messages.headers import Header, cloud_event
from shared.messages.json_text import json_text
from shared.messages.names import JOB_ID, NAME
from shared.messages.numbers import Natural, Number, Positive
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask

ATTEMPT_ID = r"^[0-9a-f]{32}$"


class ChunkNotice(BaseModel):
    """One stored chunk. The notices of an attempt come in the order of its chunks, from number 0 on."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    tenant: str = Field(pattern=NAME)
    job_id: str = Field(pattern=JOB_ID)
    stage: str = Field(description="The stage that stores the chunks.")
    attempt: str = Field(pattern=ATTEMPT_ID, description="Its attempt: the task will name the one that wins.")
    role: str = Field(description="The artifact that the chunks are.")
    index: Natural = Field(description="Number of the chunk, from 0.")
    ref: ArtifactRef
    frames: Positive
    codec: FrameCodec = Field(RAW, description="How the frames are coded, the same in all chunks.")
    remaining_s: Number | None = Field(
        None, description="Seconds until the attempt's end at its pace so far; null while that is not known."
    )
    topic: str = Field(max_length=249, description="Where the following stage's task will be.")
    partition: Natural = Field(description="Its partition there: the member that owns it may start early.")
    task: RenderTask | None = Field(None, description="The stage's own task; in the first notice only.")

    @classmethod
    def parse(cls, value: bytes) -> "ChunkNotice":
        """Read the value of a record. Raises ValidationError."""
        return cls.model_validate_json(json_text(value), extra="allow")

    def headers(self, time_ms: int) -> list[Header]:
        """The record's headers; ``time_ms`` is the time now, milliseconds since the epoch."""
        event_id = f"{self.tenant}/{self.job_id}:{self.stage}:chunk:{self.attempt}:{self.role}:{self.index}"
        return cloud_event("chunk.stored", event_id, f"/lipstage/{self.stage}", self.job_id, time_ms)
