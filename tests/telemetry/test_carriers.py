"""A trace context in a task's fields and in the environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span

from shared.telemetry import carriers
from shared.telemetry.carriers import MAX_STATE_CHARACTERS, Carrier

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_carrier_survives_a_round_trip() -> None:
    sent = Carrier(PARENT, "one=1,two=2")
    assert carriers.carrier(sent.context()) == sent


def test_no_span_is_an_empty_carrier() -> None:
    assert carriers.carrier(Carrier().context()) == Carrier()


def test_long_state_loses_its_oldest_members() -> None:
    state = ",".join(f"key{n}={'x' * 40}" for n in range(30))
    kept = carriers.carrier(Carrier(PARENT, state).context()).tracestate
    assert kept is not None
    assert len(kept) <= MAX_STATE_CHARACTERS
    assert state.startswith(kept + ",")


@given(st.none() | st.text(), st.none() | st.text())
def test_any_text_makes_a_context(parent: str | None, state: str | None) -> None:
    get_current_span(Carrier(parent, state).context())


@pytest.mark.parametrize(
    ("variables", "trace"),
    [
        ({"TRACEPARENT": PARENT, "TRACESTATE": "one=1"}, int("a" * 32, 16)),
        ({"TRACEPARENT": "00-nonsense"}, 0),
        ({"TRACEPARENT": "\udcff"}, 0),
        ({"TRACESTATE": "one=1"}, 0),
        ({}, 0),
    ],
)
def test_context_of_the_environment(variables: dict[str, str], trace: int) -> None:
    span = get_current_span(carriers.of_environment(variables)).get_span_context()
    assert span.trace_id == trace
    assert span.trace_state.get("one") == ("1" if trace else None)
