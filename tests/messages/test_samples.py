"""Messages of released versions stay readable: a sample is never edited, new ones are added."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.messages.events import EVENT
from shared.messages.headers import event_headers, task_headers
from shared.messages.json_schemas import json_schemas
from shared.messages.task import RenderTask
from shared.messages.validation import parse_request

SAMPLES = Path(__file__).parent / "samples"
KINDS = ("request", "task", "event")


def samples(kind: str) -> list[Path]:
    return sorted(SAMPLES.glob(f"{kind}-*.json"))


def is_kept(before: Any, after: Any) -> bool:
    """Whether ``after`` contains everything of ``before``; it may have additional defaults."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(k in after and is_kept(v, after[k]) for k, v in before.items())
    if isinstance(before, list):
        return len(before) == len(after) and all(map(is_kept, before, after))
    return bool(before == after)


def test_every_kind_and_every_event_has_a_sample() -> None:
    types = EVENT.json_schema()["discriminator"]["mapping"]
    assert {json.loads(p.read_text())["type"] for p in samples("event")} == set(types)
    assert samples("request")
    assert samples("task")


@pytest.mark.parametrize("path", [p for kind in KINDS for p in samples(kind)], ids=lambda p: p.stem)
def test_samples_validate(path: Path) -> None:
    schema = json_schemas()[f"render-{path.stem.split('-')[0]}.schema.json"]
    Draft202012Validator(schema).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", samples("request"), ids=lambda p: p.stem)
def test_requests_are_read_completely(path: Path) -> None:
    assert is_kept(json.loads(path.read_text()), json.loads(parse_request(path.read_bytes()).model_dump_json()))


@pytest.mark.parametrize("path", samples("task"), ids=lambda p: p.stem)
def test_tasks_are_read_completely(path: Path) -> None:
    task = RenderTask.parse(path.read_bytes())
    assert (bool(task.outputs), task.model_extra) == (True, {}), "every field of a sample is a known one"
    assert is_kept(json.loads(path.read_text()), json.loads(task.dump()))
    event_id = f"{task.request.tenant}/{task.job_id}:encode"
    assert dict(task_headers(task, "encode", task.submitted_ms))["ce_id"] == event_id.encode()


@pytest.mark.parametrize("path", samples("event"), ids=lambda p: p.stem)
def test_events_are_cloud_events(path: Path) -> None:
    event = EVENT.validate_json(path.read_bytes())
    assert is_kept(json.loads(path.read_text()), json.loads(event.model_dump_json()))
    headers = event_headers(event)
    assert headers == event_headers(EVENT.validate_json(path.read_bytes())), "a repeated event has the same headers"
    assert {n for n, _ in headers} == {
        "ce_specversion", "ce_type", "ce_id", "ce_source", "ce_subject", "ce_time", "content-type"
    }  # fmt: skip
    assert dict(headers)["ce_specversion"] == b"1.0"
    assert dict(headers)["ce_subject"] == event.job_id.encode()
    assert dict(headers)["ce_time"] == b"2026-11-24T00:00:01.234Z"
