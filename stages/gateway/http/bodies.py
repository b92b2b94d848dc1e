"""Bodies of requests: read whole, within a size and a time, and parsed as JSON by the services' own rules."""

import asyncio
import json
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, JsonValue, ValidationError

from shared.messages.validation.errors import explain
from stages.gateway.problems import Problem

MAX_JSON_BYTES = 1 << 20
READ_S = 20.0
"""A body of JSON arrives within this time, seconds."""
Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, limit: int = MAX_JSON_BYTES) -> bytes:
    """The body. Raises Problem for one that is too large or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise Problem(413, "MESSAGE_TOO_LARGE", f"a request has at most {limit} bytes",
                                  allowed=f"at most {limit} bytes")  # fmt: skip
    except TimeoutError:
        raise Problem(408, "REQUEST_TIMEOUT", f"the request did not arrive within {READ_S:g} s") from None
    return bytes(body)


async def read_object(request: Request, limit: int = MAX_JSON_BYTES) -> dict[str, JsonValue]:
    """The body as a JSON object. Raises Problem."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(415, "UNSUPPORTED_MEDIA_TYPE", f"{media_type} is not accepted here", allowed="application/json")
    return parsed_object(await read(request, limit))


def parsed_object(body: bytes, field: str | None = None) -> dict[str, JsonValue]:
    """The JSON object of a body, or of the part ``field`` of a form. Raises Problem."""
    what = field or "the body"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise Problem(400, "INVALID_REQUEST", f"{what} is not JSON: {e}", field=field) from None
    if not isinstance(value, dict):
        raise Problem(400, "INVALID_REQUEST", f"{what} is not a JSON object", field=field)
    return value


async def read_model(request: Request, model: type[Model], limit: int = MAX_JSON_BYTES) -> Model:
    """The body as a model. Raises Problem, which names the field."""
    body = await read_object(request, limit)
    try:
        return model.model_validate(body)
    except ValidationError as e:
        problem = explain(e, model)
        raise Problem(422, "INVALID_REQUEST", problem.message, field=problem.field, allowed=problem.allowed) from None
