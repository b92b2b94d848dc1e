"""Attempt counts as commit metadata: what is written is read again, what others wrote is ignored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.consume.attempt_counts import (
    MAX_BYTES,
    MAX_COUNT,
    MAX_OFFSET,
    AttemptCounts,
    dump_counts,
    parse_counts,
)


@given(st.dictionaries(st.integers(0, MAX_OFFSET), st.integers(1, MAX_COUNT), max_size=128))
def test_counts_of_64_slots_and_as_many_crashes_are_read_as_written(counts: dict[int, int]) -> None:
    text = dump_counts(counts)
    assert parse_counts(text) == counts
    assert len(text.encode()) <= MAX_BYTES


def test_metadata_is_short_and_empty_without_counts() -> None:
    assert dump_counts({7: 2, 5: 1}) == '{"v":1,"n":{"5":1,"7":2}}'
    assert dump_counts({}) == ""


def test_too_many_counts_keep_the_highest() -> None:
    counts = dict.fromkeys(range(MAX_OFFSET - 500, MAX_OFFSET), 1) | {3: 2}
    text = dump_counts(counts)
    assert len(text) <= MAX_BYTES
    assert parse_counts(text)[3] == 2
    assert len(parse_counts(text)) > 128


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "not JSON",
        "[" * 4096,
        "[]",
        '"text"',
        "NaN",
        '{"n":{"1":1}}',
        '{"v":2,"n":{"1":1}}',
        '{"v":1}',
        '{"v":1,"n":[1]}',
        '{"v":1,"n":{"-1":1,"x":1,"1.5":1,"\\u0661":1,"":1}}',
        '{"v":1,"n":{"1":0,"2":-1,"3":true,"4":"1","5":1.5,"6":null}}',
        '{"v":1,"n":{"' + "9" * 4000 + '":1}}',
        "\ud800\x00\xff",
    ],
)
def test_foreign_metadata_holds_no_counts(metadata: str | None) -> None:
    assert parse_counts(metadata) == {}


@given(st.text(max_size=200))
def test_no_metadata_raises(metadata: str) -> None:
    parse_counts(metadata)


def test_huge_counts_are_bounded() -> None:
    assert parse_counts(json.dumps({"v": 1, "n": {"1": 10**300}})) == {1: MAX_COUNT}


def test_running_record_counts_one_more_until_it_is_released_or_settled() -> None:
    counts = AttemptCounts({4: 2, 9: 1})
    counts.start(4)
    counts.start(6)
    assert parse_counts(counts.metadata(4)) == {4: 3, 6: 1, 9: 1}
    counts.crash(6)
    assert counts.crashes(6) == 1
    assert parse_counts(counts.metadata(4)) == {4: 3, 6: 2, 9: 1}
    counts.release(4)
    counts.release(6)
    assert parse_counts(counts.metadata(4)) == {4: 2, 6: 1, 9: 1}, "a crash stays, the release of the record does not"
    counts.settle(6)
    assert parse_counts(counts.metadata(4)) == {4: 2, 9: 1}


def test_counts_before_the_committed_offset_are_dropped() -> None:
    assert AttemptCounts({4: 2}).metadata(5) == ""
