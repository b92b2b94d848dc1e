"""The headers that a dead letter adds, and what it does with a record that is too large for its topic."""

from hashlib import sha256

import pytest

from shared.messages.codes import Code
from shared.messages.dead_letters import FIELDS, split
from shared.messages.headers import DLQ
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason, JobContext
from shared.runtime.failures import DeliveryFailed, RecordRefused
from shared.runtime.settle.dead_letters import (
    MAX_MESSAGE_BYTES,
    MAX_STACK_BYTES,
    dead_letter_headers,
    send_dead_letter,
)
from shared.storage.errors import ArtifactRefused, StoreUnavailable
from tests.runtime.memory import MemoryArtifacts, MemoryProducers

ORIGINAL = [("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"), ("x", b"\xff\x00"), ("x", None)]
POISON = FailureReason(Code.POISON, "poison", "unreadable")
LARGE = b"x" * (MAX_ENVELOPE_BYTES + 1)


def record(value: bytes | None = b"value", headers: list[tuple[str, bytes | None]] | None = None) -> Record:
    return Record("render.face", 3, 41, b"key", value, ORIGINAL if headers is None else headers, 1234)


def headers(reason: FailureReason, **fields: object) -> list[tuple[str, bytes | None]]:
    given = {"stage": "face", "group": "lipstage.face", "attempts": 2} | fields
    return list(dead_letter_headers(record(), reason, **given))  # type: ignore[arg-type]


def test_original_headers_come_first_and_unchanged() -> None:
    added = headers(POISON)
    assert added[: len(ORIGINAL)] == ORIGINAL
    assert [name for name, _ in added[len(ORIGINAL) :]] == [DLQ + name for name in FIELDS]
    assert [name for name, _ in added].count("traceparent") == 1


def test_headers_name_the_source_the_job_and_the_reason() -> None:
    reason = FailureReason(Code.INTERNAL, "failed", "a bug", "KeyError", "Traceback")
    job = JobContext("job-1", "acme", "r", None, {})
    _, fields = split(headers(reason, job=job, department="film"))
    expected = {
        "topic": "render.face",
        "partition": "3",
        "offset": "41",
        "group": "lipstage.face",
        "delivery.count": "2",
        "code": "INTERNAL",
        "class": "failed",
        "exception.class": "KeyError",
        "stage": "face",
        "original.timestamp": "1234",
        "replay.count": "0",
        "job": "job-1",
        "tenant": "acme",
        "department": "film",
        "value.key": "",
        "omitted": "",
    }
    assert {name: fields[name] for name in expected} == expected


def test_replays_are_counted_from_the_header_of_the_record() -> None:
    given = record(headers=[("Lipstage-Replay-Count", b"2")])
    added = dead_letter_headers(given, POISON, stage="face", group="g", attempts=1)
    assert split(added)[1]["replay.count"] == "2"


def test_record_that_bears_such_headers_itself_fakes_none() -> None:
    """A copy of a dead letter, and names that this dead letter has no value for."""
    hostile = [
        (f"{DLQ}topic", b"render.requests"),
        (f"{DLQ}value.key", b"jobs/other/secret"),
        (f"{DLQ}omitted", b"value"),
        (f"{DLQ}job", b"not-mine"),
        (f"{DLQ.upper()}JOB", b"other case"),
    ]
    added = list(dead_letter_headers(record(headers=hostile), POISON, stage="face", group="g", attempts=1))
    original, fields = split(added)
    assert original == hostile
    assert (fields["topic"], fields["value.key"], fields["omitted"], fields["job"]) == ("render.face", "", "", "")
    assert dict(added)[f"{DLQ}value.key"] == b"", "the last header of a name is the added one, too"


def test_long_texts_are_truncated_to_valid_text() -> None:
    _, fields = split(headers(FailureReason(Code.INTERNAL, "failed", "é" * 10_000, "E", "é" * 20_000)))
    message, stack = fields["message"], fields["exception.stacktrace"]
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert len(stack.encode()) <= MAX_STACK_BYTES
    assert set(stack) == {"é"}
    assert "�" not in message


def test_large_value_is_kept_in_the_object_store() -> None:
    producers, artifacts = MemoryProducers([]), MemoryArtifacts()
    for _ in range(2):  # The second time after a crash between the report and the commit.
        sent = send_dead_letter(
            producers, "p.", record(LARGE), POISON, stage="face", group="g", attempts=1, artifacts=artifacts
        )
        assert (sent.topic, sent.id) == ("p.render.dlq", "0:0")
    (key,) = artifacts.values
    assert key == f"dead-letters/render.face/3/41-{sha256(LARGE).hexdigest()[:16]}"
    assert artifacts.values[key] == LARGE
    (_, value, added), _ = producers.records
    fields = split(added)[1]
    assert value is None
    assert (fields["value.key"], fields["value.size"], fields["omitted"]) == (key, str(len(LARGE)), "")
    assert fields["value.sha256"] == sha256(LARGE).hexdigest()


def test_value_of_the_largest_valid_record_stays_in_the_dead_letter() -> None:
    producers, artifacts = MemoryProducers([]), MemoryArtifacts()
    value = b"x" * MAX_ENVELOPE_BYTES
    send_dead_letter(producers, "", record(value), POISON, stage="face", group="g", attempts=1, artifacts=artifacts)
    assert (producers.records[0][1], artifacts.values) == (value, {})


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ArtifactRefused("no")])
def test_value_stays_in_the_dead_letter_when_the_object_store_does_not_take_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    producers, artifacts = MemoryProducers([]), MemoryArtifacts()

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(artifacts, "put_bytes", refuse)
    send_dead_letter(producers, "", record(LARGE), POISON, stage="face", group="g", attempts=1, artifacts=artifacts)
    _, value, added = producers.records[0]
    assert value == LARGE
    assert split(added)[1]["value.key"] == ""


class Narrow(MemoryProducers):
    """A topic that takes no value and, below ``parts`` parts, nothing else either."""

    parts = 0

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: object) -> object:
        delivery = super().send(topic, key, value, headers)  # type: ignore[arg-type]
        original, _ = split(headers)  # type: ignore[arg-type]
        if (value is not None) + bool(original) + (key is not None) > self.parts:
            delivery.error = RecordRefused("too large")
        return delivery


@pytest.mark.parametrize(
    ("parts", "stored", "omitted"),
    [
        (2, False, "value"),
        (1, False, "value, headers"),
        (0, False, "value, headers, key"),
        (2, True, ""),
        (1, True, "headers"),
        (0, True, "headers, key"),
    ],
)
def test_record_that_the_topic_does_not_take_is_sent_in_part(parts: int, stored: bool, omitted: str) -> None:
    producers = Narrow([])
    producers.parts = parts
    artifacts = MemoryArtifacts() if stored else None
    send_dead_letter(producers, "", record(LARGE), POISON, stage="face", group="g", attempts=1, artifacts=artifacts)
    fields = split(producers.records[-1][2])[1]
    assert fields["omitted"] == omitted
    assert bool(fields["value.key"]) is stored
    assert (fields["topic"], fields["offset"]) == ("render.face", "41")


def test_topic_that_takes_nothing_is_a_fault_of_the_service() -> None:
    producers = Narrow([])
    producers.parts = -1
    with pytest.raises(DeliveryFailed):
        send_dead_letter(producers, "", record(), POISON, stage="face", group="g", attempts=1)
