"""The AsyncAPI 3.0.0 document: topics, keys and headers by Kafka bindings 0.5.0; payloads are the published schemas."""

from typing import Any

import shared
from shared.messages.dead_letters import FIELDS
from shared.messages.delivery_headers import OWN
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.headers import DLQ as DEAD_LETTER
from shared.messages.lanes import BULK, lane_of, other_lane
from shared.messages.topics import (
    CANCEL,
    CHUNKS,
    CLOCK,
    DLQ,
    EVENTS,
    PARKED,
    REPLAYS,
    REQUEST_TOPICS,
    RETRY,
    WEBHOOKS,
    topics,
    work_topics,
)

ENGINES = (DEFAULT_ENGINE,)
CANCEL_KEY = "`<tenant>/<job id>`, or the job id alone."


def _messages_of(topic: str) -> tuple[str, ...]:
    if topic.startswith(RETRY):
        return ("RenderRequest", "RenderTask", "WebhookNotice")
    if topic in REQUEST_TOPICS:
        return ("RenderRequest",)
    return {
        EVENTS: ("RenderEvent",),
        CANCEL: ("CancelCommand", "CancelTombstone"),
        DLQ: ("DeadLetter",),
        PARKED: ("DeadLetter",),
        REPLAYS: ("DeadLetterState", "DeadLetterRun"),
        CHUNKS: ("ChunkNotice",),
        WEBHOOKS: ("WebhookNotice",),
        CLOCK: ("ClockProbe",),
    }.get(topic, ("RenderTask",))


def _messages() -> dict[str, Any]:
    def headers_of(*names: str) -> dict[str, Any]:
        return {"type": "object", "properties": {name: {"type": "string"} for name in names}}

    cloud_event = ("ce_specversion", "ce_type", "ce_id", "ce_source", "ce_subject", "ce_time", "traceparent")
    delivery = sorted(OWN)
    added = {
        **headers_of(*(DEAD_LETTER + name for name in FIELDS)),
        "description": "All of them, after the record's own.",
    }

    def message(title: str, payload: dict[str, Any], key: str = "The job id.", **more: Any) -> dict[str, Any]:
        bindings = {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}}
        return {"title": title, "contentType": "application/json", "payload": payload, "bindings": bindings, **more}

    return {
        "RenderRequest": message(
            "A render request", {"$ref": "./render-request.schema.json"}, headers=headers_of("traceparent", *delivery)
        ),
        "RenderTask": message(
            "The task of a stage", {"$ref": "./render-task.schema.json"}, headers=headers_of(*cloud_event, *delivery)
        ),
        "RenderEvent": message(
            "An event of a job", {"$ref": "./render-event.schema.json"}, headers=headers_of(*cloud_event)
        ),
        "CancelCommand": message("A command that cancels a job", {"$ref": "./cancel-command.schema.json"}, CANCEL_KEY),
        "CancelTombstone": message("A record without a value: revokes the command", {"type": "null"}, CANCEL_KEY),
        "DeadLetter": message("An unchanged record with additional headers", {}, "As the record.", headers=added),
        "DeadLetterState": message(
            "What an operator did with a dead letter",
            {"$ref": "./dead-letter-state.schema.json"},
            "`<partition>:<offset>` of the dead letter.",
        ),
        "DeadLetterRun": message(
            "One run of lipstage dlq", {"$ref": "./dead-letter-run.schema.json"}, "`audit/<id of the run>`."
        ),
        "ChunkNotice": message(
            "A stored chunk, on which the next stage may start early",
            {"$ref": "./chunk-notice.schema.json"},
            headers=headers_of(*cloud_event),
        ),
        "WebhookNotice": message(
            "A notice of an ended render for one endpoint",
            {"$ref": "./webhook-notice.schema.json"},
            headers=headers_of(*cloud_event, *delivery),
        ),
        "ClockProbe": message(
            "A record without key and value: its delivery report has the broker's time", {"type": "null"}, "None."
        ),
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of a deployment without a topic prefix and with the embedded engine."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    consumed = work_topics(ENGINES)
    for topic in topics("", ENGINES):
        name = topic.name.replace(".", "_")
        channels[name] = {
            "address": topic.name,
            "description": topic.description,
            "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in _messages_of(topic.name)},
            "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions, "bindingVersion": "0.5.0"}},
        }
        if topic.name in consumed:
            stage, bulk = consumed[topic.name], lane_of(topic.name) == BULK
            plain = other_lane(topic.name) if bulk else topic.name
            name_of_group = stage if topic.name in REQUEST_TOPICS else plain.removeprefix("render.")
            group = {"type": "string", "enum": [f"lipstage.{name_of_group}"]}
            operations[f"{stage}_receives{'_bulk' if bulk else ''}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{name}"},
                "bindings": {"kafka": {"groupId": group, "bindingVersion": "0.5.0"}},
            }
        elif topic.name in (EVENTS, DLQ, CHUNKS, CLOCK):
            operations[f"stages_send_{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        elif topic.name in (PARKED, REPLAYS):
            operations[f"operators_send_{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        elif topic.name == WEBHOOKS:
            operations[f"webhooks_receives_{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}
        elif topic.name.startswith(RETRY):
            operations[f"relay_receives_{name}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{name}"}}
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
