"""The checker on histories made by hand: each has one fault, and only its check finds it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.messages.tiers import parse_tiers
from tests.chaos.checker import CHECKS, check
from tests.chaos.history import Headers, History, Rec, Stored

P = "t."
JOB = "job-1"
VIDEO = f"jobs/default/{JOB}/encode/e1/video.mp4"
TRACE = "a" * 32
PARENT: tuple[str, bytes | None] = ("traceparent", f"00-{TRACE}-{'b' * 16}-01".encode())


def record(topic: str, offset: int, value: Any, *headers: tuple[str, bytes | None], ts: int = 0) -> Rec:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Rec(topic, 0, offset, ts, JOB.encode(), raw, tuple(headers))


def event(offset: int, kind: str, **fields: Any) -> Rec:
    body = {"type": kind, "job_id": JOB, "tenant": "default", "time_ms": 1, "attempt": 1, "trace_id": TRACE} | fields
    return record("render.events", offset, body, PARENT)


def task(topic: str, offset: int, *headers: tuple[str, bytes | None], ts: int = 0, **outputs: str) -> Rec:
    value = {"job_id": JOB, "request": {}, "outputs": {stage: {"attempt": a} for stage, a in outputs.items()}}
    return record(topic, offset, value, PARENT, *headers, ts=ts)


def retry_headers(attempt: int, topic: str | None = None, retries: int | None = None) -> Headers:
    values: list[tuple[str, bytes | None]] = [
        ("lipstage-attempt", str(attempt).encode()),
        ("lipstage-retries", str(attempt - 1 if retries is None else retries).encode()),
        ("lipstage-origin", b"t.render.face/0/0"),
    ]
    return (*values, *([("lipstage-retry-topic", topic.encode())] if topic else []))


FACE = task("render.face", 0, audio="a1")
RETRY = task("render.retry.1s", 0, *retry_headers(2, "t.render.face"), ts=1000, audio="a1")
AGAIN = task("render.face", 1, *retry_headers(2), ts=2000, audio="a1")
LETTER = replace(
    task(
        "render.dlq", 0, ("__dlq.errors.topic", b"t.render.face"), ("__dlq.errors.partition", b"0"),
        ("__dlq.errors.offset", b"0"), audio="a1"
    ),
)  # fmt: skip


def history(**changes: Any) -> History:
    """A job that was retried once at face, and is done."""
    records = [
        record("render.requests", 0, {"portrait": {}, "speech": {}}),
        FACE,
        RETRY,
        AGAIN,
        task("render.infer.puppet", 0, audio="a1", face="f1"),
        task("render.encode", 0, audio="a1", face="f1", infer="i1"),
        event(0, "accepted"),
        event(1, "started", stage="face"),
        event(2, "started", stage="face", attempt=2),
        event(3, "done", stage="encode", video={"key": VIDEO}),
    ]
    markers = {"audio": "a1", "face": "f1", "infer": "i1", "encode": "e1"}
    objects = {
        f"jobs/default/{JOB}/{stage}.json": Stored(10, {"attempt": attempt, "artifacts": {}})
        for stage, attempt in markers.items()
    }
    objects[f"jobs/default/{JOB}/encode.json"] = Stored(10, {"attempt": "e1", "artifacts": {"video": {"key": VIDEO}}})
    objects[VIDEO] = Stored(1000)
    made = History(
        acknowledged=(("render.requests", 0, 0),),
        records=tuple(records),
        prefix=P,
        committed={
            ("lipstage.audio", "render.requests", 0): 1,
            ("lipstage.face", "render.face", 0): 2,
            ("lipstage.infer.puppet", "render.infer.puppet", 0): 1,
            ("lipstage.encode", "render.encode", 0): 1,
            ("lipstage.relay", "render.retry.1s", 0): 1,
        },
        objects=objects,
        tiers=parse_tiers(("1s",)),
    )
    return replace(made, **changes)


def with_records(*added: Rec, without: Callable[[Rec], bool] = lambda _: False) -> History:
    base = history()
    kept = [r for r in base.records if not without(r) and r.place not in {a.place for a in added}]
    return replace(base, records=(*kept, *added))


def is_event(kind: str) -> Callable[[Rec], bool]:
    return lambda r: r.body.get("type") == kind


def failed(**fields: Any) -> Rec:
    return event(4, "failed", stage="face", code="INTERNAL", **fields)


def without_done(*added: Rec) -> History:
    return with_records(*added, without=is_event("done"))


def lost() -> History:
    """The requests topic has the record, the group has committed it, and nothing else happened."""
    base = history()
    return replace(base, records=base.records[:1], objects={}, committed={})


def orphaned_object(key: str) -> History:
    base = history()
    return replace(base, objects={**base.objects, f"jobs/default/{JOB}/{key}": Stored(1)})


def other_marker() -> History:
    base = history()
    marker = f"jobs/default/{JOB}/face.json"
    return replace(base, objects={**base.objects, marker: Stored(10, {"attempt": "f2", "artifacts": {}})})


def dead(letter: Rec, **end: Any) -> History:
    return without_done(letter, failed(**end))


def uncounted(back_ms: int) -> History:
    """The retry of an outage uses no attempt."""
    return with_records(
        task("render.retry.1s", 0, *retry_headers(1, "t.render.face", retries=1), ts=1000, audio="a1"),
        task("render.face", 1, *retry_headers(1, retries=1), ts=back_ms, audio="a1"),
    )


NAMES_IT = {"dead_letter": {"topic": "t.render.dlq", "partition": 0, "offset": 0}}
FAULTS: dict[str, tuple[str, Callable[[], History]]] = {
    "no end": ("nothing lost", lost),
    "not ended after a replay": (
        "nothing lost",
        lambda: without_done(failed(), event(5, "replayed", stage="face", replays=1)),
    ),
    "two ends": ("one terminal state", lambda: with_records(failed())),
    "done twice over a replay": (
        "one terminal state",
        lambda: with_records(
            event(4, "done", stage="encode", replays=1, time_ms=2, video={"key": VIDEO}),
        ),
    ),
    "second video": ("one final artifact", lambda: orphaned_object("encode/e1/second.mp4")),
    "task before the marker": ("nothing visible without its marker", other_marker),
    "one attempt more": (
        "attempts bounded",
        lambda: with_records(*(event(10 + n, "started", stage="face", attempt=3) for n in range(4))),
    ),
    "attempt number too high": (
        "attempts bounded",
        lambda: with_records(event(10, "started", stage="face", attempt=6)),
    ),
    "second trace": ("one trace", lambda: with_records(event(4, "started", stage="infer", trace_id="c" * 32))),
    "frames left": ("nothing left behind", lambda: orphaned_object("infer/i1/frames-0.mkv")),
    "file left": ("nothing left behind", lambda: history(leftovers=("file x",))),
    "early by 1 ms": ("no early retry", lambda: with_records(replace(AGAIN, timestamp_ms=1999))),
    "early by 1 ms, with an attempt that does not count": (
        "no early retry",
        lambda: uncounted(1999),
    ),
    "committed without outcome": (
        "no commit ahead",
        lambda: replace(without_done(), committed={("lipstage.encode", "render.encode", 0): 1}, acknowledged=()),
    ),
    "retry committed and not sent back": (
        "no commit ahead",
        lambda: replace(
            without_done(), records=(RETRY,), committed={("lipstage.relay", "render.retry.1s", 0): 1}, acknowledged=()
        ),
    ),
    "dead letter with another value": (
        "dead letters byte-identical",
        lambda: dead(replace(LETTER, value=b"{}"), **NAMES_IT),
    ),
    "dead letter without a header": (
        "dead letters byte-identical",
        lambda: dead(replace(LETTER, headers=LETTER.headers[1:]), **NAMES_IT),
    ),
    "dead letter without a key": (
        "dead letters byte-identical",
        lambda: replace(
            dead(replace(LETTER, key=b"", headers=LETTER.headers), **NAMES_IT),
        ),
    ),
    "end without its dead letter": ("dead letters end their job", lambda: dead(LETTER)),
    "second traceparent": (
        "headers constant",
        lambda: with_records(replace(FACE, headers=(*FACE.headers, PARENT))),
    ),
    "header added by a retry": (
        "headers constant",
        lambda: with_records(
            task("render.face", 2, *retry_headers(3), ("more", b""), ts=9000, audio="a1"),
            task("render.retry.1s", 1, *retry_headers(3, "t.render.face"), ts=3000, audio="a1"),
        ),
    ),
}


def test_history_without_a_fault_passes_every_check() -> None:
    report = check(history())
    assert report.failed == [], report.lines()
    assert check(dead(LETTER, **NAMES_IT)).failed == []
    assert check(uncounted(2000)).failed == []


def test_dead_letter_without_a_value_refers_to_no_object() -> None:
    letter = replace(LETTER, value=None, headers=(*LETTER.headers, ("__dlq.errors.value.key", b"")))
    made = with_records(replace(FACE, value=None), letter, failed(**NAMES_IT), without=is_event("done"))
    fetched: list[str] = []
    made.fetch = fetched.append  # type: ignore[assignment]
    assert check(made).failed == []
    assert not fetched


def test_terminal_event_that_is_repeated_is_no_second_end() -> None:
    again = event(4, "done", stage="encode", replays=1, video={"key": VIDEO})
    assert check(with_records(again)).failed == [], "a replay of a done job repeats its event"
    assert check(with_records(LETTER)).failed == [], "a dead letter does not change the end of a done job"
    assert check(with_records(failed(tenant="acme"))).failed == [], "it is another tenant's job"


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_by_its_check_alone(name: str) -> None:
    expected, make = FAULTS[name]
    report = check(make())
    assert report.failed == [expected], report.lines()


def test_every_check_has_a_fault() -> None:
    assert {expected for expected, _ in FAULTS.values()} == CHECKS.keys()
