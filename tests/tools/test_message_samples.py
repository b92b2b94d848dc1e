"""The samples in docs/messages.md are current, complete, and valid by the published schema."""

import json
import re

from jsonschema import Draft202012Validator

from shared.messages.events import EVENT, parse_event
from shared.messages.headers import DLQ
from shared.messages.json_schemas import json_schemas
from tools import message_samples


def on_the_page() -> list[str]:
    start, end = message_samples.EVENTS
    section = message_samples.PAGE.read_text().partition(start)[2].partition(end)[0]
    return re.findall(r"```json\n(.*?)```", section, re.DOTALL)


def test_page_is_current() -> None:
    page = message_samples.PAGE.read_text()
    assert page == message_samples.updated(page), "run python -m tools.message_samples"


def test_every_event_type_has_a_valid_sample() -> None:
    validator = Draft202012Validator(json_schemas()["render-event.schema.json"])
    bodies = [json.loads(text) for text in on_the_page()]
    assert {body["type"] for body in bodies} == set(EVENT.json_schema()["discriminator"]["mapping"])
    for body in bodies:
        validator.validate(body)
        assert parse_event(json.dumps(body).encode()).type == body["type"]


def test_every_header_of_a_dead_letter_is_explained() -> None:
    added = {name.removeprefix(DLQ) for name in message_samples.dead_letter() if name.startswith(DLQ)}
    assert added == set(message_samples.MEANINGS)
