"""What the consumer loop reads of a record before anybody has checked it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.share import COSTS_S, UNDATED_MS, Share, share_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = ("tenant", "deadline_s", "submitted_ms", "request", "outputs", "audio", "metadata", "duration_s")


def share(value: bytes | None) -> Share:
    return share_of(Record("render.face", 0, 0, None, value, [], 1_000))


def of(**fields: Any) -> Share:
    return share(json.dumps(fields).encode())


def test_request_has_its_tenant_and_is_due_at_its_deadline() -> None:
    assert of(tenant="acme", deadline_s=60) == Share("acme", 61_000, 1.0)
    assert of(tenant="acme") == Share("acme", 1_000 + UNDATED_MS, 1.0)


def test_task_costs_its_speech_and_its_deadline_counts_from_the_request() -> None:
    outputs = {"audio": {"metadata": {"duration_s": 12.5}}}
    request = {"tenant": "acme", "deadline_s": 10.0}
    assert of(request=request, submitted_ms=500, outputs=outputs) == Share("acme", 10_500, 12.5)


@pytest.mark.parametrize(("seconds", "cost"), [(0.2, 1.0), (4000, COSTS_S[1]), (-1, 1.0), ("x", 1.0), (True, 1.0)])
def test_cost_has_bounds(seconds: Any, cost: float) -> None:
    assert of(outputs={"audio": {"metadata": {"duration_s": seconds}}}).cost == cost


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_nothing_in_a_record_raises(value: bytes) -> None:
    assert share(value).cost >= 1.0


@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(NAMES), JSON)))
def test_no_value_of_a_field_raises(fields: dict[str, Any]) -> None:
    found = of(**fields)
    assert isinstance(found.tenant, str)
    assert COSTS_S[0] <= found.cost <= COSTS_S[1]


@pytest.mark.parametrize("value", [None, b"", b"[" * 60_000, b'{"tenant": "' + b"x" * MAX_ENVELOPE_BYTES + b'"}'])
def test_unreadable_record_is_one_of_the_default_tenant(value: bytes | None) -> None:
    assert share(value) == Share("default", 1_000 + UNDATED_MS, 1.0)


def test_deadline_is_bounded() -> None:
    assert of(deadline_s=1e300).due_ms == 1_000 + UNDATED_MS
    assert of(deadline_s=1e12).due_ms == 1_000 + 604_800_000
