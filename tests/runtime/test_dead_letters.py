"""A dead letter holds the unchanged record, and headers with the reason."""

from shared.messages.codes import Code
from shared.messages.headers import DLQ
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.settle.dead_letters import MAX_MESSAGE_BYTES, MAX_STACK_BYTES, dead_letter_headers

ORIGINAL = [("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"), ("x", b"\xff\x00"), ("x", None)]


def headers(reason: FailureReason) -> list[tuple[str, bytes | None]]:
    record = Record("render.face", 3, 41, b"key", b"value", ORIGINAL, 1234)
    return list(dead_letter_headers(record, reason, stage="face", group="lipstage.face", attempts=2))


def test_original_headers_come_first_and_unchanged() -> None:
    added = headers(FailureReason(Code.POISON, "poison", "unreadable"))
    assert added[: len(ORIGINAL)] == ORIGINAL
    assert all(name.startswith(DLQ) for name, _ in added[len(ORIGINAL) :])
    assert [name for name, _ in added].count("traceparent") == 1


def test_headers_name_the_source_and_the_reason() -> None:
    ours = dict(headers(FailureReason(Code.INTERNAL, "failed", "a bug", "KeyError", "Traceback"))[len(ORIGINAL) :])
    expected = {
        "topic": b"render.face",
        "partition": b"3",
        "offset": b"41",
        "group": b"lipstage.face",
        "delivery.count": b"2",
        "class": b"failed",
        "code": b"INTERNAL",
        "exception.class": b"KeyError",
        "stage": b"face",
        "original.timestamp": b"1234",
    }
    assert {name: ours[DLQ + name] for name in expected} == expected


def test_long_texts_are_truncated_to_valid_text() -> None:
    added = dict(headers(FailureReason(Code.INTERNAL, "failed", "m" * 10_000, "E", "é" * 20_000)))
    message, stack = added[f"{DLQ}message"], added[f"{DLQ}exception.stacktrace"]
    assert message is not None
    assert stack is not None
    assert len(message) <= MAX_MESSAGE_BYTES
    assert 0 < len(stack) <= MAX_STACK_BYTES
    assert set(stack.decode()) == {"é"}
