"""States of jobs and JSON values as the messages of lipstage.proto, and back."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from stages.gateway.live.messages import Message
from stages.gateway.rpc import lipstage_pb2 as pb

EXACT = 2**53
"""Up to here a Struct, whose numbers are doubles, holds whole numbers exactly."""


def struct(value: Mapping[str, Any] | None) -> Struct | None:
    """A JSON object."""
    if value is None:
        return None
    made = Struct()
    made.update(value)
    return made


def from_struct(value: Struct) -> dict[str, Any]:
    """The JSON object; whole numbers are ints again."""
    return {name: _whole(one) for name, one in MessageToDict(value).items()}


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) <= EXACT:
            return int(value)
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
    return value


def render(state: Mapping[str, Any]) -> pb.Render:
    """A state as `JobState.as_json` gives it."""
    terminal = state["terminal_event"] or {}
    return pb.Render(
        job_id=state["job_id"],
        tenant=state["tenant"],
        status=state["status"],
        engine=state["engine"] or "",
        trace_id=state["trace_id"] or "",
        first_ms=state["first_ms"],
        last_ms=state["last_ms"],
        stages=[
            pb.Stage(
                name=name, state=one["state"], percent=one["percent"], seconds=one["seconds"], cached=one["cached"]
            )
            for name, one in state["stages"].items()
        ],
        warnings=[pb.Warning(code=one["code"], message=one["message"]) for one in state["warnings"]],
        labels=state["labels"],
        code=terminal.get("code", ""),
        message=terminal.get("message", ""),
        json=struct(state),
    )


def update(message: Message) -> pb.Update:
    """A message of a job's stream."""
    return pb.Update(
        id=message.position,
        type=message.type,
        render=render(message.body["render"]),
        event=struct(message.body["event"]),
        is_last=message.is_last,
    )
