"""The published JSON Schemas (2020-12): what the models generate, and rules that their readers apply beside them.

A value is valid by a schema exactly when the reader accepts it, but for the rules in docs/messages.md that JSON Schema
can't express.
"""

from collections.abc import Callable
from typing import Any

from shared.messages.cancel import MAX_NAME
from shared.messages.chunk_notice import ChunkNotice
from shared.messages.dead_letter_state import DeadLetterRun, DeadLetterState
from shared.messages.engines import DEFAULT_ENGINE, ENGINE_PARAMS
from shared.messages.events import EVENT
from shared.messages.names import DEFAULT_TENANT
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.text import KEY_PATTERN, STORED_KEY_PATTERN, TEXT_PATTERN
from shared.messages.webhook import WebhookNotice

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LINE_BREAK = r"\n"

Node = dict[str, Any]


def json_schemas() -> dict[str, Node]:
    """The schema of every message by file name."""
    schemas = {
        "render-request": _request(),
        "render-task": _walked(RenderTask.model_json_schema(), _stored),
        "render-event": _event(),
        "chunk-notice": _walked(ChunkNotice.model_json_schema(), _stored),
        "webhook-notice": _notice(),
        "cancel-command": _cancel(),
        "dead-letter-state": DeadLetterState.model_json_schema(),
        "dead-letter-run": DeadLetterRun.model_json_schema(),
    }
    return {f"{name}.schema.json": {"$schema": DIALECT, **_walked(node, _anchored)} for name, node in schemas.items()}


def _request() -> Node:
    """``parse_request`` refuses unknown fields; the models keep them, because tasks contain the request."""
    schema = _walked(RenderRequest.model_json_schema(), _closed)
    rules = []
    for name, model in ENGINE_PARAMS.items():
        schema["$defs"][model.__name__] = model.model_json_schema()
        chosen: Node = {"properties": {"engine": {"const": name}}}
        if name != DEFAULT_ENGINE:
            chosen["required"] = ["engine"]
        params = {"properties": {"engine_params": {"$ref": f"#/$defs/{model.__name__}"}}}
        rules.append({"if": chosen, "then": params})
    return {**schema, "allOf": rules}


def _event() -> Node:
    schema: Node = _walked(EVENT.json_schema(), _stored)
    return _without_discriminator(schema)


def _notice() -> Node:
    schema: Node = _walked(WebhookNotice.model_json_schema(), _stored)
    event = _without_discriminator(schema["properties"]["event"])
    return {**schema, "properties": {**schema["properties"], "event": event}}


def _without_discriminator(node: Node) -> Node:
    """A keyword of OpenAPI, which AsyncAPI defines otherwise; ``oneOf`` with a constant ``type`` in each means the
    same."""
    return {name: value for name, value in node.items() if name != "discriminator"}


def _cancel() -> Node:
    tenant = {
        "type": ["string", "null"],
        "maxLength": MAX_NAME,
        "default": DEFAULT_TENANT,
        "description": "The tenant of the job, where the key names none.",
    }
    return {
        "title": "CancelCommand",
        "description": "Cancels the job that the record key names. Other fields are ignored.",
        "type": "object",
        "properties": {"tenant": tenant},
    }


def _walked(node: Any, change: Callable[[Node], Node]) -> Any:
    """The schema with ``change`` applied to each of its objects, from the inside out."""
    if isinstance(node, dict):
        return change({name: _walked(member, change) for name, member in node.items()})
    return [_walked(item, change) for item in node] if isinstance(node, list) else node


def _closed(node: Node) -> Node:
    return {**node, "additionalProperties": False} if node.get("additionalProperties") is True else node


def _stored(node: Node) -> Node:
    """Only ``parse_request`` refuses all control characters: what older versions accepted stays readable."""
    match node.get("pattern"):
        case pattern if pattern == KEY_PATTERN:
            return {**node, "pattern": STORED_KEY_PATTERN}
        case pattern if pattern == TEXT_PATTERN:
            return {name: value for name, value in node.items() if name != "pattern"}
    return node


def _anchored(node: Node) -> Node:
    """``$`` is the end of the text in ECMA 262, and also before a last line break in Python: refuse it there, too."""
    if not str(node.get("pattern", "")).endswith("$"):
        return node
    others = [node["not"]["pattern"]] if "not" in node else []
    return {**node, "not": {"pattern": "|".join([*others, LINE_BREAK])}}
