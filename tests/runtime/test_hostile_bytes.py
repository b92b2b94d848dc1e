"""Parsers that run in a service's own process, with any bytes: a value or the expected exception, never another."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.messages.codes import Rejected
from shared.messages.events import EVENT
from shared.messages.task import RenderTask
from shared.messages.validation import parse_request
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.cancellations import Cancellations
from shared.runtime.consume.statistics import Statistics

TASK = {
    "job_id": "j",
    "request_id": "r",
    "request": {"portrait": {"key": "default/a.jpg"}, "speech": {"key": "default/a.wav"}},
    "submitted_ms": 1,
}
FRAGMENTS = [
    "[" * 100_000,
    "[" * 30_000 + "]" * 30_000,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    '{"a":' * 150 + "1" + "}" * 150,
    "9" * 5_000,
    "-" + "9" * 60_000,
    "1e999",
    "1." + "1" * 5_000,
    "NaN",
    '"\\ud800"',
    '"\\u0000"',
    '"' + "x" * 70_000 + '"',
    "null",
    "",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)
fragments = st.sampled_from(FRAGMENTS) | values.map(json.dumps)


@st.composite
def documents(draw: st.DrawFn, model: dict[str, Any]) -> bytes:
    """Bytes; or the model with one of its values, or one more, replaced by a fragment."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200) | fragments.map(str.encode))
    mark = "@@"
    changed = json.loads(json.dumps(model))
    parent = changed
    while (nested := [k for k, v in parent.items() if isinstance(v, dict)]) and draw(st.booleans()):
        parent = parent[draw(st.sampled_from(nested))]
    parent[draw(st.sampled_from([*parent, "unknown"]))] = mark
    return json.dumps(changed).replace(f'"{mark}"', draw(fragments)).encode()


@given(documents(TASK))
def test_hostile_task_is_parsed_or_refused(value: bytes) -> None:
    try:
        task = RenderTask.parse(value)
    except ValidationError as e:
        assert str(e)
        return
    assert RenderTask.parse(task.dump()).job_id == task.job_id, "a parsed task can be forwarded"


@given(documents(TASK["request"] | {"engine_params": {}, "labels": {}, "params": {}}))  # type: ignore[operator]
def test_hostile_request_is_parsed_or_refused(value: bytes) -> None:
    try:
        request = parse_request(value)
    except Rejected:
        return
    json.dumps(request.model_dump(mode="json"))


@given(documents({"type": "rejected", "job_id": "j", "tenant": "default", "code": "NO_FACE", "message": "m"}))
def test_hostile_event_is_parsed_or_refused(value: bytes) -> None:
    try:
        EVENT.validate_json(value)
    except ValidationError as e:
        assert str(e)


@given(st.none() | st.binary(max_size=80), st.none() | documents({"tenant": "default"}))
@example(b"job", b"[" * 100_000)
@example(b"job", b"[" * 60_000)
@example(b"job", b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
@example(b"job", b'{"tenant": {"a": 1}}')
@example(b"job", b'{"tenant": 9' + b"9" * 5000 + b"}")
@example(b"\xff\x00", b"{}")
@example(b"j" * 100_000, b"{}")
def test_hostile_cancel_ends_no_reader(key: bytes | None, value: bytes | None) -> None:
    cancellations = Cancellations(None, "render.cancel")
    for record in ((key, value), (b"next", b"{}")):
        cancellations._take(Record("render.cancel", 0, 0, *record, [], 1))
    assert cancellations.has("default", "next"), "the next command is applied"
    assert all(isinstance(tenant, str) for tenants in cancellations._jobs.values() for tenant in tenants)


REPORT = {
    "topics": {"t": {"partitions": {"0": {"consumer_lag": 3, "fetch_state": "active", "desired": True}}}},
    "cgrp": {"join_state": "steady"},
}


@given(documents(REPORT))
def test_hostile_statistics_are_parsed_or_ignored(value: bytes) -> None:
    statistics = Statistics.read(value.decode(errors="surrogateescape"))
    assert all(isinstance(state, str) for state in statistics.fetch_states.values())


def test_statistics_hold_lag_and_fetch_state_of_real_partitions() -> None:
    report = json.loads(json.dumps(REPORT))
    report["topics"]["t"]["partitions"]["-1"] = {"consumer_lag": 5, "desired": True}
    report["topics"]["t"]["partitions"]["1"] = {"consumer_lag": -1, "fetch_state": "stopped"}
    statistics = Statistics.read(json.dumps(report))
    assert {name: p.consumer_lag for name, p in statistics.partitions.items()} == {("t", "0"): 3, ("t", "1"): -1}
    assert statistics.fetch_states == {("t", "0"): "active"}
    assert statistics.cgrp.join_state == "steady"
