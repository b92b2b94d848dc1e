"""The answer of a check as models, for the OpenAPI document."""

from pydantic import BaseModel, Field

from stages.gateway.http.models import Warned


class CheckError(BaseModel):
    """Why a render would be refused: code, sentence and field are those of its rejection."""

    code: str
    detail: str
    field: str | None = None
    allowed: str | None = None


class Face(BaseModel):
    """A face of the portrait: x0, y0, x1, y1 in its pixels."""

    box: tuple[int, int, int, int]
    score: float


class Size(BaseModel):
    """Pixels."""

    width: int
    height: int


class CheckedPortrait(BaseModel):
    """What the face stage finds; `error` alone where it would refuse the portrait."""

    width: int | None = None
    height: int | None = None
    faces: list[Face] = Field([], description="The largest first: the order of `params.face`.")
    crop: tuple[int, int, int, int] | None = Field(None, description="Part that is animated; null where it is turned.")
    video: Size | None = None
    error: CheckError | None = None


class CheckedSpeech(BaseModel):
    """What the audio stage finds; `error` alone where it would refuse the speech."""

    duration_s: float | None = None
    codec: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    silent: bool | None = None
    speech: bool | None = Field(None, description="Whether speech or singing was detected.")
    error: CheckError | None = None


class Checked(BaseModel):
    """The result of a check; a file that was not sent is null."""

    portrait: CheckedPortrait | None = None
    speech: CheckedSpeech | None = None
    warnings: list[Warned] = []
