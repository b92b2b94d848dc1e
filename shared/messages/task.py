"""The internal message that goes from stage to stage: the request, and what each stage has made of it."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.messages.codes import Code
from shared.messages.metadata import _Metadata
from shared.messages.names import JOB_ID
from shared.messages.refs import ArtifactRef
from shared.messages.request import RenderRequest

MAX_ENVELOPE_BYTES = 64 * 1024
"""No record of ours is larger; payloads go through storage (claim check)."""

FactsT = TypeVar("FactsT", bound=_Metadata)


class JobWarning(BaseModel):
    """A warning of the job: it goes on, the user should know."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: Code
    message: str


class StageOutput(BaseModel):
    """What one stage made: where it lies and what was found out."""

    model_config = ConfigDict(extra="allow", frozen=True)

    attempt: str = Field(description="Id of the winning attempt.")
    artifacts: dict[str, ArtifactRef] = Field(default_factory=dict, description="By role.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    warnings: tuple[JobWarning, ...] = ()
    seconds: float = Field(0.0, description="Wall time of the winning attempt.")
    cached: bool = False


class RenderTask(BaseModel):
    """One stage's order. Unknown fields of later minor versions are kept.

    What does not fit is told without its value: the error goes to logs, spans and headers.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    job_id: str = Field(pattern=JOB_ID)
    request_id: str = Field(
        max_length=64, description="UUIDv5 of the request's topic, partition, offset and SHA-256: which record."
    )
    request: RenderRequest
    submitted_ms: int = Field(description="Broker's time of the request, milliseconds since the epoch.")
    submit_traceparent: str | None = Field(None, max_length=64, description="Parent of the `render` summary span.")
    outputs: dict[str, StageOutput] = Field(default_factory=dict, description="By stage.")

    def metadata(self, stage: str, model: type[FactsT]) -> FactsT:
        """Typed metadata of an earlier stage. Raises KeyError when it has not run, ValidationError on a misfit."""
        return model.model_validate(self.outputs[stage].metadata)

    @classmethod
    def parse(cls, value: bytes) -> "RenderTask":
        """Read a record's value; unknown fields are kept at every depth. Raises ValidationError."""
        return cls.model_validate_json(value, extra="allow")

    def dump(self) -> bytes:
        """The record's value: UTF-8 JSON, nulls included, so that nothing a later version wrote gets lost."""
        return self.model_dump_json().encode()

    def with_output(self, stage: str, output: StageOutput) -> "RenderTask":
        """The same task with one more stage done."""
        return self.model_copy(update={"outputs": {**self.outputs, stage: output}})

    @property
    def warnings(self) -> tuple[JobWarning, ...]:
        """All warnings so far, in the order of the stages."""
        return tuple(w for output in self.outputs.values() for w in output.warnings)
