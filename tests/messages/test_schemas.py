"""The committed documents are current and valid."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared.messages import schemas
from shared.messages.asyncapi import asyncapi
from shared.messages.codes import Code
from shared.messages.events import EVENT, AnyEvent
from shared.messages.json_schemas import json_schemas
from shared.messages.request import Params, RenderRequest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_committed_documents_are_current() -> None:
    expected = schemas.documents()
    # That of the gateway is made by tools.openapi, and compared in its tests.
    committed = {path.name: path.read_text() for path in schemas.FOLDER.iterdir() if path.name != "openapi.json"}
    assert committed == expected, "run python -m shared.messages.schemas"


@pytest.mark.parametrize("path", sorted(schemas.FOLDER.glob("*.schema.json")), ids=lambda path: path.name)
def test_schemas_are_valid_by_the_meta_schema_of_their_dialect(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_request_schema_agrees_with_the_model() -> None:
    validator = Draft202012Validator(json_schemas()["render-request.schema.json"])
    good = {"portrait": {"key": "default/a.png"}, "speech": {"key": "default/b.wav"}}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "unknown": 1})
    assert not validator.is_valid({**good, "params": {"inference_steps": 0}})


def test_asyncapi_names_every_topic_once() -> None:
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    addresses = [channel["address"] for channel in document["channels"].values()]
    assert len(addresses) == len(set(addresses))
    assert {"render.requests", "render.face", "render.infer.puppet", "render.encode", "render.events"} <= set(addresses)
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            assert message["$ref"].removeprefix("#/components/messages/") in document["components"]["messages"]


def test_messages_page_lists_every_field_code_and_event() -> None:
    page = (DOCS / "messages.md").read_text()
    fields = [*RenderRequest.model_fields, *(f"params.{name}" for name in Params.model_fields)]
    events = json.loads(json.dumps(EVENT.json_schema()))["discriminator"]["mapping"]
    missing = [name for name in (*fields, *Code, *events) if f"`{name}`" not in page]
    assert missing == []


def test_events_read_back() -> None:
    event: AnyEvent = EVENT.validate_python(
        {"type": "accepted", "job_id": "j", "tenant": "t", "request_id": "r", "time_ms": 1, "engine": "puppet", "x": 1}
    )
    assert EVENT.validate_json(event.model_dump_json()) == event
