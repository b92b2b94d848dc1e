"""The body of a submission: JSON, or a form with the files beside it."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request
from pydantic import JsonValue

from shared.client.request_fields import parse_value
from shared.messages.codes import Code
from stages.gateway.http.bodies import parsed_object, read_object
from stages.gateway.http.multipart import MIB, MULTIPART, FormReader
from stages.gateway.problems import Problem

REQUEST = "request"
"""The part of a form that holds the other fields, as JSON."""


@dataclass(slots=True)
class Submitted:
    """What a caller has sent."""

    fields: dict[str, JsonValue]
    files: dict[str, Path] = field(default_factory=dict)
    """Uploaded files by role: portrait, speech."""


@asynccontextmanager
async def received(request: Request, names: Mapping[str, str], texts: Collection[str] = ()) -> AsyncIterator[Submitted]:
    """The body; uploaded files exist until the end of the block.

    ``names`` are the form's names of the files by role, ``texts`` fields that may be parts of their own. Raises
    Problem, which names the part.
    """
    if _media_type(request) != MULTIPART:
        yield Submitted(await read_object(request))
        return
    state = request.app.state
    settings = state.deployment.runtime
    limits = {"portrait": settings.max_portrait_mb * MIB, "speech": settings.max_speech_mb * MIB}
    with state.uploads.folder() as folder:
        reader = FormReader(folder, {names[role]: limits[role] for role in names}, (REQUEST, *texts))
        form = await reader.read(request, state.options.upload_idle_s)
        fields = parsed_object(form.texts[REQUEST].encode(), REQUEST) if REQUEST in form.texts else {}
        for name, text in form.texts.items():
            if name == REQUEST:
                continue
            if name in fields:
                raise Problem(422, str(Code.INVALID_REQUEST), f"{name} is given twice: as a part and in {REQUEST}",
                              field=name)  # fmt: skip
            fields[name] = parse_value(text)
        yield Submitted(fields, {role: form.files[name] for role, name in names.items() if name in form.files})


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
