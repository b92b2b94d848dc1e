"""The registry of span attributes and its setter: types, NumPy scalars, unknown keys."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from shared.telemetry import attributes, metrics
from shared.telemetry.attributes import SPAN_ATTRIBUTES, Kind, UnknownAttribute, Use, registered, set_attributes

PYTHON_TYPES = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool, Kind.NAME: str, Kind.TEXT: str}
NUMPY = [np.int8, np.int64, np.uint64, np.float16, np.float32, np.float64, np.bool_, np.str_]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(lambda kind, value: kind(value), st.sampled_from(NUMPY), st.integers(0, 100))
    | st.sampled_from([np.float32("nan"), np.float64("inf"), np.array(3), np.array([1, 2]), b"\xff", object()])
)
dropped = metrics.ATTRIBUTES_DROPPED._value.get


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(SPAN_ATTRIBUTES)), scalars))
def test_every_value_has_its_registered_type_or_is_left_out(values: dict[str, object]) -> None:
    before = dropped()
    kept = registered(values)
    assert all(type(value) is PYTHON_TYPES[SPAN_ATTRIBUTES[key].kind] for key, value in kept.items())
    assert all(math.isfinite(value) for value in kept.values() if isinstance(value, float))
    absent = sum(value is None for value in values.values())
    assert len(kept) + absent + dropped() - before == len(values), "what is left out is counted"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("inference.steps", np.int64(25), 25),
        ("audio.drift_ms", np.float32(130.4), 130),
        ("render.quality", np.float32(0.5), 0.5),
        ("dynamic.scale", 1, 1.0),
        ("render.slow", np.bool_(True), True),
        ("frames", np.array(3), 3),
        ("engine", "puppet", "puppet"),
    ],
)
def test_numpy_scalars_become_python_values(key: str, value: object, expected: object) -> None:
    (kept,) = registered({key: value}).values()
    assert kept == expected
    assert type(kept) is type(expected)


def test_unknown_key_is_an_error_in_the_tests() -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("a")
    with pytest.raises(UnknownAttribute, match=r"'portrait\.path' is no registered span attribute"):
        set_attributes(span, {"portrait.path": "p"})


def test_unknown_key_in_a_service_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "strict", False)
    before = dropped()
    assert registered({"portrait.path": "p", "frames": 3}) == {"frames": 3}
    assert dropped() == before + 1


def test_keys_that_a_worker_chose_never_raise() -> None:
    assert registered({"portrait.path": "p", "frames": 3}, may_raise=False) == {"frames": 3}


def test_registry_is_complete() -> None:
    for key, attribute in SPAN_ATTRIBUTES.items():
        assert attribute.key == key
        assert attribute.description
    units = {".duration_s": "s", "_ms": "ms", "_bytes": "bytes"}
    for ending, unit in units.items():
        assert {a.unit for key, a in SPAN_ATTRIBUTES.items() if key.endswith(ending)} == {unit}
    integers = [key for key in SPAN_ATTRIBUTES if key.endswith("_ms")]
    assert {SPAN_ATTRIBUTES[key].kind for key in integers} == {Kind.INT}, "TraceQL compares them with int literals"


def test_dropped_attributes_are_not_exported(recorded) -> None:
    keys = [key for key, attribute in SPAN_ATTRIBUTES.items() if attribute.use is Use.DROPPED]
    with recorded.tracer.start_as_current_span("a") as span:
        for key in keys:
            span.set_attribute(key, "x")
    assert dict(recorded.one().attributes) == {}
