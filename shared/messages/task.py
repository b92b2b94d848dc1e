"""The internal message between stages: the request, and the output of each completed stage."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from shared.messages.codes import Code
from shared.messages.json_text import json_text
from shared.messages.lanes import Lane
from shared.messages.metadata import StageMetadata
from shared.messages.names import JOB_ID
from shared.messages.numbers import Boolean, Integer, Number
from shared.messages.refs import ArtifactRef
from shared.messages.request import RenderRequest

MAX_ENVELOPE_BYTES = 64 * 1024
"""Largest value of a record; larger payloads are in the object store (claim check)."""

MetadataT = TypeVar("MetadataT", bound=StageMetadata)


class UnreadableMetadata(ValueError):
    """The metadata that an earlier stage wrote is missing or of another form: the record is at fault, not the stage
    that reads it. The message quotes no value."""


class JobWarning(BaseModel):
    """A warning for the user; the job continues."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: Code
    message: str


class StageOutput(BaseModel):
    """The output of one stage: references to its artifacts, and metadata."""

    model_config = ConfigDict(extra="allow", frozen=True)

    attempt: str = Field(description="Id of the winning attempt.")
    artifacts: dict[str, ArtifactRef] = Field(default_factory=dict, description="By role.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    warnings: tuple[JobWarning, ...] = ()
    seconds: Number = Field(0.0, description="Wall time of the winning attempt.")
    cpu_seconds: Number = Field(0.0, description="CPU time of the worker process in the winning attempt.")
    queue_ms: Integer = Field(0, description="Wait of the winning attempt's record on its topic, milliseconds.")
    attempts: Integer = Field(1, description="Number of the winning attempt, from 1.")
    cached: Boolean = False


class RenderTask(BaseModel):
    """The task of one stage. Unknown fields of later minor versions are kept.

    Validation errors do not repeat the input: they go to logs, spans and headers.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    job_id: str = Field(pattern=JOB_ID)
    request_id: str = Field(
        max_length=64, description="Id of the request's record: UUIDv5 of topic, partition, offset and SHA-256."
    )
    request: RenderRequest
    submitted_ms: Integer = Field(description="Broker's time of the request, milliseconds since the epoch.")
    submit_traceparent: str | None = Field(None, max_length=64, description="Parent of the `render` summary span.")
    submit_tracestate: str | None = Field(
        None, max_length=512, description="W3C tracestate that came with `submit_traceparent`."
    )
    outputs: dict[str, StageOutput] = Field(default_factory=dict, description="By stage.")
    lane: Lane | None = Field(
        None, description="The lane of the job's tasks; null, as of an older version: that of the request."
    )

    @property
    def effective_lane(self) -> Lane:
        """The lane in which the job goes on: every stage sends its task to the next stage's topic of this lane."""
        return self.lane or self.request.lane

    def metadata(self, stage: str, model: type[MetadataT]) -> MetadataT:
        """Typed metadata of an earlier stage. Raises UnreadableMetadata when it has not run, or wrote another form."""
        if stage not in self.outputs:
            raise UnreadableMetadata(f"the task has no output of the {stage} stage")
        try:
            return model.model_validate(self.outputs[stage].metadata)
        except ValidationError as e:
            detail = e.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(map(str, detail["loc"])) or "the value"
            message = f"{e.title} in the task, written by an earlier stage, can't be read: {field}: {detail['msg']}"
            raise UnreadableMetadata(message) from e

    @classmethod
    def parse(cls, value: bytes) -> "RenderTask":
        """Read the value of a record; unknown fields are kept at every depth. Raises ValidationError."""
        return cls.model_validate_json(json_text(value), extra="allow")

    def dump(self) -> bytes:
        """The value of a record: UTF-8 JSON with nulls, so that nothing from a later version is lost."""
        return self.model_dump_json().encode()

    def with_output(self, stage: str, output: StageOutput) -> "RenderTask":
        """The same task with the output of one more stage."""
        return self.model_copy(update={"outputs": {**self.outputs, stage: output}})

    @property
    def warnings(self) -> tuple[JobWarning, ...]:
        """The warnings of all completed stages, in order."""
        return tuple(w for output in self.outputs.values() for w in output.warnings)
