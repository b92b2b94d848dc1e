"""``POST /v1/uploads``: files that a client sends to the object store itself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.messages.codes import Code
from stages.gateway.caller import AnyCaller
from stages.gateway.http.bodies import read_model
from stages.gateway.http.models import Upload
from stages.gateway.http.multipart import MIB
from stages.gateway.http.schema import answers, json_body
from stages.gateway.problems import Problem

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
MEDIA_TYPE = r"^[a-z]+/[a-z0-9][a-z0-9.+-]{0,63}$"


class WantedUpload(BaseModel):
    """A file that is to be uploaded."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["portrait", "speech"]
    size: int = Field(ge=1, description="Bytes; the object store takes exactly as many.")
    content_type: Annotated[str, StringConstraints(pattern=MEDIA_TYPE)] = "application/octet-stream"


@router.post(
    "",
    status_code=201,
    response_model=None,
    responses=answers(201, Upload, "Where to post the file."),
    openapi_extra=json_body(WantedUpload.model_json_schema()),
)
async def create(request: Request, caller: AnyCaller) -> dict[str, Any]:
    """A presigned POST for one file, for a limited time. The request then names `reference`."""
    wanted = await read_model(request, WantedUpload)
    state = request.app.state
    settings = state.deployment.runtime
    most = settings.max_portrait_mb if wanted.role == "portrait" else settings.max_speech_mb
    if wanted.size > most * MIB:
        raise Problem(413, str(Code.INPUT_TOO_LARGE), f"the {wanted.role} is too large", field="size",
                      allowed=f"at most {most} MiB")  # fmt: skip
    made = state.presigned.upload(caller.tenant, wanted.size, wanted.content_type)
    return {
        "url": made.url,
        "fields": dict(made.fields),
        "expires_ms": made.expires_ms,
        "reference": made.reference.model_dump(exclude_none=True),
    }
