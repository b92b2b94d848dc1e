"""Cancel commands as records: what is written is read; other clients' values are read as strictly as requests."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.messages.cancel import MAX_NAME, CancelCommand, CancelTombstone, decode_cancel
from shared.messages.task import MAX_ENVELOPE_BYTES

ACME = CancelCommand("acme", "j")
DEFAULT = CancelCommand("default", "j")


def test_a_written_command_and_its_tombstone_are_read_back() -> None:
    assert decode_cancel(ACME.key(), ACME.encode(5)) == ACME
    assert decode_cancel(ACME.key(), None) == CancelTombstone("acme", "j")
    assert (ACME.key(), json.loads(ACME.encode(5))) == (b"acme/j", {"job_id": "j", "tenant": "acme", "at_ms": 5})


@pytest.mark.parametrize(
    ("key", "value", "command"),
    [
        (b"acme/j", b"{}", ACME),
        (b"acme/j", b'{"tenant": "acme"}', ACME),
        (b"acme/j", b'{"tenant": null, "job_id": 7, "at_ms": "then", "later": 1e300}', ACME),
        (b"j", b'{"tenant": "acme"}', ACME),
        (b"j", b"{}", DEFAULT),
        (b"j", b'{"tenant": null}', DEFAULT),
        (b"j", b'\xef\xbb\xbf{"tenant": "acme"}', ACME),
        (b"j", b'{"tenant": ""}', CancelCommand("", "j")),
        (b"a/b/j", b"{}", CancelCommand("a/b", "j")),
        ("naïve/é".encode(), b"{}", CancelCommand("naïve", "é")),
        (b"j" * MAX_NAME, b"{}", CancelCommand("default", "j" * MAX_NAME)),
        (b"j", b"{}".ljust(MAX_ENVELOPE_BYTES), DEFAULT),
    ],
)
def test_key_or_value_name_the_tenant(key: bytes, value: bytes, command: CancelCommand) -> None:
    assert decode_cancel(key, value) == command


@pytest.mark.parametrize(
    ("key", "tombstone"),
    [
        (b"acme/j", CancelTombstone("acme", "j")),
        (b"j", CancelTombstone(None, "j")),
        (b"/j", CancelTombstone("", "j")),
        (b"j" * 1000, CancelTombstone(None, "j" * 1000)),
        (None, CancelTombstone(None, "")),
    ],
)
def test_a_null_value_is_a_tombstone(key: bytes | None, tombstone: CancelTombstone) -> None:
    assert decode_cancel(key, None) == tombstone


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"acme/j", b'{"tenant": "other"}'),
        (b"acme/j", b'{"tenant": ""}'),
        (b"j", b'{"tenant": 7}'),
        (b"j", b'{"tenant": {"a": 1}}'),
        (b"j", b'{"tenant": "%b"}' % (b"t" * (MAX_NAME + 1))),
        (b"j" * (MAX_NAME + 1), b"{}"),
        (b"acme/", b"{}"),
        (b"", b"{}"),
        (None, b"{}"),
        (b"\xff", b"{}"),
        (b"\xff", None),
        (b"j", b""),
        (b"j", b"[]"),
        (b"j", b"null"),
        (b"j", b"{"),
        (b"j", '{"tenant": "acme"}'.encode("utf-16")),
        (b"j", '{"tenant": "acme"}'.encode("utf-32-le")),
        (b"j", b'{"tenant": "\xff"}'),
        (b"j", b'{"tenant": "acme", "tenant": "other"}'),
        (b"j", b'{"later": {"a": 1, "a": 1}}'),
        (b"j", b'{"later": NaN}'),
        (b"j", b'{"later": [-Infinity]}'),
        (b"j", b'{"later": 1e999}'),
        (b"j", b"{}".ljust(MAX_ENVELOPE_BYTES + 1)),
    ],
)
def test_a_record_that_names_no_job_or_two_tenants_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(ValueError):
        decode_cancel(key, value)


@given(st.none() | st.binary(max_size=80), st.none() | st.binary(max_size=200))
@example(b"j", b"[" * 60_000)
@example(b"j", b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
@example(b"j", b'{"tenant": 9' + b"9" * 5000 + b"}")
def test_any_record_is_read_or_refused(key: bytes | None, value: bytes | None) -> None:
    try:
        assert decode_cancel(key, value).job_id is not None
    except ValueError:
        return
