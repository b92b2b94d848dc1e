"""JSON Schema and AsyncAPI documents, generated from the models: ``python -m shared.messages.schemas [--check]``.

JSON Schema 2020-12 per message; AsyncAPI 3.0.0 with Kafka bindings 0.5.0 for topics, keys and headers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import shared
from shared.messages.events import EVENT
from shared.messages.names import DEFAULT_TENANT
from shared.messages.pipeline import PIPELINE
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.topics import CANCEL, DLQ, EVENTS, REQUESTS, topics

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENGINES = ("puppet",)


def json_schemas() -> dict[str, dict[str, Any]]:
    """The schema of every message by file name."""
    schemas = {
        "render-request": _forbid_unknown(RenderRequest.model_json_schema()),
        "render-task": RenderTask.model_json_schema(),
        "render-event": EVENT.json_schema(),
    }
    return {f"{name}.schema.json": {"$schema": DIALECT, **schema} for name, schema in schemas.items()}


def _forbid_unknown(node: Any) -> Any:
    """``parse_request`` refuses unknown fields; the models keep them, because tasks contain the request."""
    if isinstance(node, dict):
        return {k: False if k == "additionalProperties" and v is True else _forbid_unknown(v) for k, v in node.items()}
    return [_forbid_unknown(item) for item in node] if isinstance(node, list) else node


def _message_of(topic: str) -> str:
    return {REQUESTS: "RenderRequest", EVENTS: "RenderEvent", CANCEL: "CancelCommand", DLQ: "DeadLetter"}.get(
        topic, "RenderTask"
    )


def _messages() -> dict[str, Any]:
    headers = {
        "type": "object",
        "properties": {
            name: {"type": "string"}
            for name in ("ce_specversion", "ce_type", "ce_id", "ce_source", "ce_subject", "ce_time", "traceparent")
        },
    }

    def message(title: str, payload: dict[str, Any], key: str = "The job id.", **more: Any) -> dict[str, Any]:
        bindings = {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}}
        return {"title": title, "contentType": "application/json", "payload": payload, "bindings": bindings, **more}

    description = "An object cancels the job that the key names; null revokes the command."
    tenant = {"type": ["string", "null"], "default": DEFAULT_TENANT, "description": "Where the key names no tenant."}
    cancel = {"type": ["object", "null"], "description": description, "properties": {"tenant": tenant}}
    return {
        "RenderRequest": message("A render request", {"$ref": "./render-request.schema.json"}),
        "RenderTask": message("The task of a stage", {"$ref": "./render-task.schema.json"}, headers=headers),
        "RenderEvent": message("An event of a job", {"$ref": "./render-event.schema.json"}, headers=headers),
        "CancelCommand": message("A command that cancels a job", cancel, "`<tenant>/<job id>`, or the job id alone."),
        "DeadLetter": message("An unchanged record with additional headers __dlq.errors.*", {}),
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of a deployment without a topic prefix and with the embedded engine."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    consumed = {step.source.format(engine=engine): step.name for step in PIPELINE for engine in ENGINES}
    for topic in topics("", ENGINES):
        message = _message_of(topic.name)
        name = topic.name.replace(".", "_")
        channels[name] = {
            "address": topic.name,
            "description": topic.description,
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
            "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions, "bindingVersion": "0.5.0"}},
        }
        if topic.name in consumed:
            group = {"type": "string", "enum": [f"lipstage.{topic.name.removeprefix('render.')}"]}
            if topic.name == REQUESTS:
                group["enum"] = [f"lipstage.{consumed[topic.name]}"]
            operations[f"{consumed[topic.name]}_receives"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{name}"},
                "bindings": {"kafka": {"groupId": group, "bindingVersion": "0.5.0"}},
            }
        elif topic.name in (EVENTS, DLQ):
            operations[f"stages_send_{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        else:
            operations[f"stages_receive_{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "lipstage",
            "version": shared.__version__,
            "description": "One portrait and one speech recording become a talking-head mp4.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages()},
    }


def documents() -> dict[str, str]:
    """The content of every document by file name."""
    contents: dict[str, dict[str, Any]] = {**json_schemas(), "asyncapi.json": asyncapi()}
    return {name: json.dumps(document, indent=2, sort_keys=True) + "\n" for name, document in contents.items()}


def main() -> int:
    """Write the documents, or with ``--check`` compare them; returns 1 when one differs."""
    expected = documents()
    if "--check" in sys.argv[1:]:
        return int(any(not (FOLDER / n).is_file() or (FOLDER / n).read_text() != text for n, text in expected.items()))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in expected.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
