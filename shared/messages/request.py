"""The render request: one JSON record on ``render.requests``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from shared.messages.lanes import INTERACTIVE, Lane
from shared.messages.names import CONSENT, DEFAULT_TENANT, JOB_ID, NAME, OWNER
from shared.messages.numbers import INTEGRAL
from shared.messages.refs import InputRef, OutputRef
from shared.messages.text import TEXT_PATTERN

OPTIMAL_STEPS = 20
"""With fewer inference steps the job gets the warning NON_OPTIMAL_STEPS."""
MAX_SEED = 2**32 - 1

# The pattern is for readers of the schema. `parse_request` enforces it; older tasks that violate it stay readable.
Label = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": TEXT_PATTERN})]
LabelName = Annotated[str, Field(max_length=64)]
# For a name with a pattern pydantic generates `patternProperties`, which forbid no other names.
_LABEL_NAMES = {"propertyNames": {"maxLength": 64, "pattern": TEXT_PATTERN}}
Labels = Annotated[dict[LabelName, Label], Field(max_length=16, json_schema_extra={**_LABEL_NAMES})]
Pixel = Annotated[float, Field(ge=0, le=65535)]
BatchIndex = Annotated[int, Field(ge=0, le=10_000_000), INTEGRAL]
BatchTotal = Annotated[int, Field(ge=1, le=10_000_000), INTEGRAL]
Steps = Annotated[int, Field(ge=1, le=100), INTEGRAL]
Resolution = Annotated[int, Field(ge=256, le=1024, multiple_of=64), INTEGRAL]
FaceIndex = Annotated[int, Field(ge=0, le=63), INTEGRAL]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), INTEGRAL]


def _check_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return box


FaceBox = Annotated[tuple[Pixel, Pixel, Pixel, Pixel], AfterValidator(_check_box)]


class _StrictModel(BaseModel):
    """Strict types, finite numbers.

    Unknown fields are allowed here: in internal messages they come from a later minor version and must be forwarded.
    ``parse_request`` refuses them in a request, because a misspelt parameter must not be ignored.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)


class Batch(_StrictModel):
    """Place of the job in a batch; copied into every event."""

    id: str = Field(pattern=JOB_ID)
    index: BatchIndex
    total: BatchTotal


class Params(_StrictModel):
    """Parameters of picture and motion."""

    inference_steps: Steps = Field(25, description="Denoising steps of a diffusion engine.")
    dynamic_scale: float = Field(1.0, ge=0.5, le=2.0, description="Motion amplitude.")
    expand_ratio: float = Field(0.18, ge=0.0, le=1.0, description="Margin around the face box, per side, in box sizes.")
    min_resolution: Resolution = Field(512, description="Short side of the video, pixels.")
    framing: Literal["original", "face"] = Field("original", description="Whole picture, or a square around the face.")
    face: Literal["largest"] | FaceIndex | FaceBox = Field(
        "largest",
        description="Which face: the largest central one, an index by size, or a box [x0, y0, x1, y1] in pixels.",
    )
    duration: float | None = Field(None, ge=0.2, le=3600, description="Seconds; corrected to the decoded duration.")
    trim: bool = Field(False, description="Cut the speech to `duration`.")
    seed: Seed = Field(0, description="Same request and machine: byte-identical frames.")
    ai_label: Literal["en", "zh"] | None = Field(
        None,
        description="Language of a visible label at the start of the video; a tenant's policy may want one anyway.",
    )


class RenderRequest(_StrictModel):
    """Render one portrait and one speech recording into a talking-head mp4."""

    job_id: str | None = Field(None, pattern=JOB_ID, description="Default: the record key, else derived.")
    tenant: str = Field(DEFAULT_TENANT, pattern=NAME)
    department: str | None = Field(None, pattern=NAME)
    owner: str | None = Field(None, pattern=OWNER, description="Telemetry contains it only as a hash.")
    consent: str | None = Field(
        None,
        pattern=CONSENT,
        description="Your reference to the consent of the person who is shown; kept in the audit, not in telemetry.",
    )
    batch: Batch | None = None
    labels: Labels = Field(default_factory=dict, description="Copied into every event.")
    portrait: InputRef
    speech: InputRef
    output: OutputRef | None = Field(None, description="Default: the artifact bucket, under the prefix of the job.")
    engine: Literal["puppet", "sonic"] = "puppet"
    engine_params: dict[str, JsonValue] = Field(default_factory=dict, description="Typed by each engine.")
    params: Params = Params()
    lane: Lane = Field(INTERACTIVE, description="At every stage interactive jobs start before bulk ones.")
    deadline_s: float | None = Field(None, ge=1, le=604_800, description="Seconds after which the result has no use.")
