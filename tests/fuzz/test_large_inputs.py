"""The largest inputs that are read, made of what costs most: within the CPU time and the memory of a reader."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.local.traces import MAX_BODY_BYTES
from tests.fuzz import campaign


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf with a length."""
    length, size = b"", len(content)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def nested_attribute() -> bytes:
    """One attribute: lists in lists (AnyValue.array_value.values), and a million empty values in the innermost."""
    value = b"\x0a\0" * (MAX_BODY_BYTES // 2 - 1000)
    for _ in range(40):
        value = field(1, field(5, value))
    span = field(9, field(1, b"list") + field(2, field(5, value)))
    return field(1, field(2, field(2, span)))


def names_of_which_one_is_there_twice() -> bytes:
    members = ", ".join(f'"name-{number}": 0' for number in [*range(60_000), 59_999])
    return f'{{"portrait": "me.jpg", {members}}}\n'.encode()


INPUTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "millions of empty resources": ("http.otlp", lambda: field(1, b"") * (MAX_BODY_BYTES // 2)),
    "millions of empty spans": ("http.otlp", lambda: field(1, field(2, field(2, b"") * (MAX_BODY_BYTES // 2 - 20)))),
    "millions of nested values": ("http.otlp", nested_attribute),
    "128 MiB as gzip": ("http.gzip", lambda: gzip.compress(bytes(128 << 20), 1)),
    "an object of 60 000 names": ("client.batch-jsonl", names_of_which_one_is_there_twice),
    "a cell of megabytes": ("client.batch-csv", lambda: b'portrait,speech\n"' + b"x\n" * 4_000_000),
    "a line of separators": ("client.batch-csv", lambda: b"portrait,speech" + b"," * 4_000_000),
    "a deep task": ("messages.task", lambda: b'{"outputs":' * 6000 + b"0" + b"}" * 6000),
    "a task of numbers": ("messages.task", lambda: b'{"job_id": ' + b"9" * 65_000 + b"}"),
    "a request of names": ("messages.request", lambda: b"{" + b",".join(b'"%d":0' % n for n in range(6500)) + b"}"),
}


@pytest.mark.parametrize("group", ["http", "client", "messages"])
def test_large_inputs_take_little_cpu_and_memory(group: str, tmp_path: Path) -> None:
    corpus, files = tmp_path / "corpus", 0
    for name, (target, make) in INPUTS.items():
        if target.startswith(f"{group}."):
            (corpus / target).mkdir(parents=True, exist_ok=True)
            (corpus / target / name.replace(" ", "-")).write_bytes(make())
            files += 1
    report = campaign.replay(group, corpus, tmp_path / "findings")
    assert [(f.target, f.kind, f.path.stat().st_size, f.detail[:500]) for f in report.findings] == []
    assert report.executions == files
