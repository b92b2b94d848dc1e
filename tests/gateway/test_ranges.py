"""Byte ranges, as RFC 9110 has them."""

import pytest

from stages.gateway.http.ranges import Span, asked, is_unchanged
from stages.gateway.problems import Problem

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 0)),
        ("bytes=0-", Span(0, 99)),
        ("bytes=10-19", Span(10, 19)),
        ("bytes=90-1000", Span(90, 99)),
        ("bytes=-5", Span(95, 99)),
        ("bytes=-1000", Span(0, 99)),
        ("Bytes=1-2", Span(1, 2)),
        # Not understood, so not honoured: the whole file is the right answer.
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_read(header: str | None, span: Span | None) -> None:
    assert asked(header, None, TAG, 100) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=500-600", 100), ("bytes=-0", 100)])
def test_a_range_outside_the_file_is_refused(header: str, size: int) -> None:
    with pytest.raises(Problem) as refused:
        asked(header, None, TAG, size)
    assert refused.value.status == 416
    assert refused.value.as_headers()["content-range"] == f"bytes */{size}"


def test_a_range_of_another_version_is_not_honoured() -> None:
    assert asked("bytes=0-1", '"old"', TAG, 100) is None
    assert asked("bytes=0-1", TAG, TAG, 100) == Span(0, 1)


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [(None, False), (TAG, True), ('W/"abc"', True), ('"x", "abc"', True), ("*", True), ('"x"', False)],
)
def test_a_file_that_the_client_has_is_known(header: str | None, unchanged: bool) -> None:
    assert is_unchanged(header, TAG) == unchanged
