"""The query language over renders: what is read, and how faults are reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry.query.errors import QueryCode, QueryError
from shared.telemetry.query.expression import keys, matches
from shared.telemetry.query.fields import Type, fields
from shared.telemetry.query.language import MAX_CHARACTERS, parse
from shared.telemetry.query.traceql import search


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "inference.steps > 20 and audio.drift_ms > 100",
            "(span.inference.steps > 20 && span.audio.drift_ms > 100)",
        ),
        ("render.quality < 1", "span.render.quality < 1.0"),
        ("render.quality < 1e-9", "span.render.quality < 0.000000001"),
        ("audio.drift_ms > 100.5", "span.audio.drift_ms > 100"),
        ("audio.drift_ms >= 100.5", "span.audio.drift_ms >= 101"),
        ("audio.drift_ms < -100.5", "span.audio.drift_ms < -100"),
        ("duration > 1.5m", "duration > 90000000000ns"),
        ("duration <= 2", "duration <= 2000000000ns"),
        ("not render.slow", "span.render.slow != true"),
        ('!(engine == "puppet" && inference.steps >= 3)', '(span.engine != "puppet" || span.inference.steps < 3)'),
        ("not (not render.slow)", "span.render.slow = true"),
        (r"""engine = 'a"b\\c'""", r'span.engine = "a\"b\\c"'),
        ('service.version = "0.3.0"', 'resource.service.version = "0.3.0"'),
        ('render.slow or engine = "a" and outcome = "b"',
         '(span.render.slow = true || (span.engine = "a" && span.outcome = "b"))'),
    ],
)  # fmt: skip
def test_expression_is_translated_with_literals_of_the_attributes_type(text: str, condition: str) -> None:
    assert search(parse(text), []) == f'{{ name = "render" && {condition} }} with (most_recent=true)'


@pytest.mark.parametrize(
    ("text", "code", "position", "length", "said"),
    [
        ("audio.drift > 100", QueryCode.UNKNOWN_ATTRIBUTE, 0, 11, "did you mean audio.drift_ms"),
        ("render.slow and steps > 3", QueryCode.UNKNOWN_ATTRIBUTE, 16, 5, "inference.steps"),
        ("engine = puppet", QueryCode.WRONG_TYPE, 9, 6, 'engine = "puppet"'),
        ("engine > 3", QueryCode.WRONG_TYPE, 9, 1, "quoted"),
        ("audio.drift_ms > 100ms", QueryCode.WRONG_TYPE, 17, 5, "the number alone"),
        ('inference.steps > "20"', QueryCode.WRONG_TYPE, 18, 4, "a number"),
        ("inference.steps = 2.5", QueryCode.WRONG_TYPE, 18, 3, "never 2.5"),
        ("inference.steps > 1e300", QueryCode.WRONG_TYPE, 18, 5, "too large"),
        ("render.quality", QueryCode.WRONG_TYPE, 0, 14, "compare it"),
        ("render.slow > true", QueryCode.WRONG_TYPE, 12, 1, "can't be compared"),
        ("inference.steps > 20 and", QueryCode.SYNTAX, 24, 1, "an attribute"),
        ("inference.steps >> 20", QueryCode.SYNTAX, 17, 1, "a number"),
        ("inference.steps > 20)", QueryCode.SYNTAX, 20, 1, "the end"),
        ("{ span.inference.steps > 20 }", QueryCode.SYNTAX, 0, 1, ""),
        ("render.slow " + " " * MAX_CHARACTERS, QueryCode.TOO_LONG, 0, 1, ""),
    ],
)
def test_fault_is_reported_with_code_position_and_help(
    text: str, code: QueryCode, position: int, length: int, said: str
) -> None:
    with pytest.raises(QueryError) as error:
        parse(text)
    found = error.value
    assert (found.code, found.position, found.length) == (code, position, length)
    assert said in f"{found.message} {found.hint}"
    shown, mark = found.pointer
    assert len(shown) <= 80 and len(mark) <= 82, "it fits a terminal"


@given(st.text(max_size=60) | st.text("()! andort.<>=\"'1x&|", max_size=60))
def test_any_text_is_an_expression_or_a_query_error(text: str) -> None:
    try:
        parse(text)
    except QueryError as e:
        assert 0 <= e.position <= len(text)


def test_deep_nesting_ends() -> None:
    for text in (
        "(" * 490 + "render.slow" + ")" * 490,
        "not " * 240 + "render.slow",
        "!" * 980 + "render.slow",
        "!( " * 50 + "render.slow" + ")" * 50,
        "render.slow or " * 60 + "render.slow",
    ):
        assert matches(parse(text), lambda key: True)
    alternating = "render.slow and (render.slow or (" * 28 + "render.slow" + "))" * 28
    assert "true" in search(parse(alternating), [])


def test_too_many_negations_are_a_query_error() -> None:
    with pytest.raises(QueryError, match="more than 50 negations") as error:
        parse("!(" * 320 + "render.slow" + ")" * 320)
    assert error.value.code is QueryCode.TOO_LONG


def test_odd_number_of_negations_is_one() -> None:
    assert search(parse("!! not render.slow"), []) == search(parse("render.slow != true"), [])
    assert search(parse("!! render.slow"), []) == search(parse("render.slow"), [])


def test_a_render_without_the_attribute_satisfies_neither_a_comparison_nor_its_negation() -> None:
    for text in ("audio.drift_ms > 100", "not (audio.drift_ms > 100)", "audio.drift_ms != 100"):
        assert not matches(parse(text), lambda key: None)
        assert not matches(parse(text), lambda key: 130.0), "of another type"
    assert not matches(parse("inference.steps = 1"), lambda key: True), "true is no number"


def test_every_field_has_a_type_and_keys_are_named_once() -> None:
    assert {"inference.steps", "audio.drift_ms", "duration", "service.version"} <= set(fields())
    assert fields()["audio.drift_ms"].type is Type.INT
    assert keys(parse('engine = "a" or (render.slow and engine = "b")')) == ("engine", "render.slow")
