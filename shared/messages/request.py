"""The render request: one JSON record on ``render.requests``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from shared.messages.names import DEFAULT_TENANT, JOB_ID, NAME, OWNER
from shared.messages.refs import InputRef, OutputRef
from shared.messages.text import TEXT_PATTERN

OPTIMAL_STEPS = 20
"""Fewer inference steps than this draw the warning NON_OPTIMAL_STEPS."""
MAX_SEED = 2**32 - 1

# The pattern is for the schema's readers. The rule is `parse_request`'s: a task that came in before it was one is read.
Label = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": TEXT_PATTERN})]
LabelName = Annotated[str, Field(max_length=64)]
# Of a name with a pattern pydantic makes `patternProperties`, which forbid nothing else.
Names = {"propertyNames": {"maxLength": 64, "pattern": TEXT_PATTERN}}
Labels = Annotated[dict[LabelName, Label], Field(max_length=16, json_schema_extra={**Names})]
Pixel = Annotated[float, Field(ge=0, le=65535)]


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return box


FaceBox = Annotated[tuple[Pixel, Pixel, Pixel, Pixel], AfterValidator(_ordered)]


class _Edge(BaseModel):
    """Strict types, finite numbers.

    Unknown fields are refused where a request comes in (``parse_request``: a misspelt parameter must not be ignored)
    and kept inside internal messages, where they come from a later minor version. A model that forbids them by itself
    would lose them when it is written again; so they are allowed here and forbidden there.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)


class Batch(_Edge):
    """Place of the job in a batch; echoed in every event."""

    id: str = Field(pattern=JOB_ID)
    index: int = Field(ge=0, le=10_000_000)
    total: int = Field(ge=1, le=10_000_000)


class Params(_Edge):
    """What the picture and the motion should be."""

    inference_steps: int = Field(25, ge=1, le=100, description="Denoising steps of a diffusion engine.")
    dynamic_scale: float = Field(1.0, ge=0.5, le=2.0, description="Motion amplitude.")
    expand_ratio: float = Field(0.18, ge=0.0, le=1.0, description="Margin around the face box, per side, in box sizes.")
    min_resolution: int = Field(512, ge=256, le=1024, multiple_of=64, description="Short side of the video, pixels.")
    framing: Literal["original", "face"] = Field("original", description="Whole picture, or a square around the face.")
    face: Literal["largest"] | Annotated[int, Field(ge=0, le=63)] | FaceBox = Field(
        "largest",
        description="Which face: the largest central one, an index by size, or a box [x0, y0, x1, y1] in pixels.",
    )
    duration: float | None = Field(None, ge=0.2, le=3600, description="Seconds asked for; corrected to the true ones.")
    trim: bool = Field(False, description="Cut the speech to `duration` on purpose.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Same request, same machine: byte-identical frames.")


class RenderRequest(_Edge):
    """One portrait and one speech recording to become a talking-head mp4."""

    job_id: str | None = Field(None, pattern=JOB_ID, description="Else the record's key, else from place and SHA-256.")
    tenant: str = Field(DEFAULT_TENANT, pattern=NAME)
    department: str | None = Field(None, pattern=NAME)
    owner: str | None = Field(None, pattern=OWNER, description="Never leaves the request in clear in telemetry.")
    batch: Batch | None = None
    labels: Labels = Field(default_factory=dict, description="Echoed in every event.")
    portrait: InputRef
    speech: InputRef
    output: OutputRef | None = Field(None, description="Default: the artifact bucket, under the job's own prefix.")
    engine: Literal["puppet", "sonic"] = "puppet"
    engine_params: dict[str, JsonValue] = Field(default_factory=dict, description="Typed by each engine.")
    params: Params = Params()
    lane: Literal["interactive", "bulk"] = "interactive"
    deadline_s: float | None = Field(None, ge=1, le=604_800, description="Seconds after which the result is useless.")
