"""The OpenAPI document: what FastAPI finds, and the errors and bodies that it can't know of."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from shared.messages.names import JOB_ID
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from stages.gateway.http.models import Problem
from stages.gateway.problems import MEDIA_TYPE

REFS = "#/components/schemas/{model}"
ERRORS = {"4XX": "The request is refused.", "5XX": "The deployment does not answer, or fails."}
METHODS = ("get", "post", "delete")

# For readers of the document: the client library checks them, with clearer words than a pattern.
JobId = Annotated[str, Path(json_schema_extra={"pattern": JOB_ID})]
BatchId = Annotated[str, Path(json_schema_extra={"pattern": JOB_ID})]
DeadLetterId = Annotated[str, Path(description="`partition:offset`", json_schema_extra={"pattern": "^[0-9]+:[0-9]+$"})]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="The same request with the same key is the same render.",
        json_schema_extra={"pattern": "^[!-~]{1,255}$"},
    ),
]
Baggage = Annotated[str | None, Header(description="Its entry `department` is used, where the request names none.")]


def answers(status: int, model: type[BaseModel], about: str, *others: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that answers with ``model``, also under ``others``."""
    return {one: {"model": model, "description": about} for one in (status, *others)}


def binary(about: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that answers with a file."""
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in media_types}
    return {
        200: {"description": about, "content": content},
        206: {"description": "The range that was asked for.", "content": content},
        304: {"description": "The client has it."},
        307: {"description": "A presigned URL of the object store is in `Location`."},
    }


def json_body(schema: dict[str, Any], form: dict[str, Any] | None = None) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads its body itself: JSON, or a form."""
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if form is not None:
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


def reference(name: str) -> dict[str, str]:
    """A reference to a schema of the document."""
    return {"$ref": REFS.format(model=name)}


def file_form(names: Mapping[str, str]) -> dict[str, Any]:
    """The schema of a form with two files; ``names`` are theirs by role."""
    file = {"type": "string", "format": "binary"}
    about = "The other fields as JSON; an object in place of a file, too."
    return {
        "type": "object",
        "properties": {**dict.fromkeys(names.values(), file), "request": {"type": "string", "description": about}},
        "additionalProperties": False,
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document; the application keeps it."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (RenderRequest, InputRef, Problem):
            schema = model.model_json_schema(ref_template=REFS)
            schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
        for path in made["paths"].values():
            for method in METHODS:
                if method in path:
                    _add_errors(path[method])
        app.openapi_schema = made
    return app.openapi_schema


def _add_errors(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # FastAPI's own form of an error, which is never answered.
    for status, about in ERRORS.items():
        operation["responses"][status] = {
            "description": about,
            "content": {MEDIA_TYPE: {"schema": reference("Problem")}},
        }
