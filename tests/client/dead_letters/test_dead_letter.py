"""What is read from one dead letter, and what a replay makes of its headers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.client import Deployment
from shared.client.connection import Connection
from shared.client.dead_letters.dead_letter import DeadLetter, parse_id
from shared.client.dead_letters.resending import outgoing
from shared.client.dead_letters.rewriting import Rewritten
from shared.client.dead_letters.states import DONE, FAILED, RUNNING, Jobs, job_hash
from shared.client.errors import InvalidRequest
from shared.messages.identity import identify_task_best_effort
from shared.telemetry.tracing import setup
from tests.client.dead_letters.making import TRACEPARENT, Made

Headers = Sequence[tuple[str, bytes | None]]


def dead(made: Made, headers: Headers = (), **fields: Any) -> DeadLetter:
    record = made.record("", 0)
    added = [("__dlq.errors.topic", made.topic.encode()), ("__dlq.errors.stage", made.stage.encode()), *headers]
    return replace(DeadLetter(0, 7, 1, record.key, record.value, [*record.headers, *added]), **fields)


def body(**fields: Any) -> bytes:
    value = json.loads(Made("j").record("", 0).value or b"")
    value["request"] |= fields.pop("request", {})
    return json.dumps(value | fields).encode()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"key": b"other"},
        {"key": None},
        {"value": b"\xff"},
        {"value": None},
        {"value": b"[" * 100_000},
        {"value": body(job_id="other")},
        {"value": body(job_id=7)},
        {"value": body(job_id="no id!")},
        {"value": body(request_id="?")},
        {"value": body(request={"tenant": "acme"})},
        {"value": body(request={"tenant": "Not A Tenant"})},
        {"value": body(request={"labels": {"a": "b"}})},
        {"value": body(request={"labels": {"a": "\x1b"}})},
        {"value": body(request={"batch": {"id": "b", "index": 0, "total": 2}})},
        {"headers": [("ce_subject", b"j")]},
        {"headers": [("ce_id", b"acme/j:face"), ("ce_subject", b"j")]},
        {"headers": [("ce_id", b"default/other:face"), ("CE_SUBJECT", b"other")]},
        {"headers": [("ce_id", b"default/j:face"), ("ce_subject", b"j"), ("ce_subject", None)]},
    ],
)
def test_the_job_of_a_task_is_the_one_that_its_stage_finds(changed: dict[str, Any]) -> None:
    """The short way of plain tasks and the whole one agree."""
    one = dead(Made("j"))
    if "headers" in changed:
        changed["headers"] = [("__dlq.errors.topic", b"render.face"), *changed["headers"]]
    one = DeadLetter(
        **{n: getattr(one, n) for n in ("partition", "offset", "timestamp_ms", "key", "value", "headers")} | changed
    )
    assert one.identity("") == identify_task_best_effort(one.value, one.key, one.headers)


def test_the_last_header_of_a_name_counts() -> None:
    """A user's record may hold such headers itself: the stage's own come after them."""
    one = dead(Made("j", headers=[("__dlq.errors.topic", b"render.cancel"), ("x", b"1")]))
    assert one.topic == "render.face"
    assert [name for name, _ in one.original_headers if name.startswith("__dlq")] == []


def test_the_job_of_a_stored_value_is_the_one_that_its_stage_named() -> None:
    named = [("__dlq.errors.job", b"j"), ("__dlq.errors.tenant", b"acme")]
    made = Made("other", "render.requests", "audio", headers=[("__dlq.errors.job", b"forged")])
    found = dead(made, named, value=None).identity("")
    assert found is not None
    assert (found.identity.job_id, found.tenant) == ("j", "acme")
    assert dead(made, value=None).identity("") != found
    forged = dead(made, value=None).identity("")
    assert forged is not None
    assert forged.identity.job_id == "other", "the sender's own header does not count"


@pytest.mark.parametrize("text", ["", "1", "a:b", "0:-1", "0:1:2", "999999:0", f"0:{1 << 50}"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_id(text)


def test_a_replay_is_a_new_trace_linked_to_the_failed_span(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, connection = InMemorySpanExporter(), Connection(Deployment())
    monkeypatch.setitem(connection.__dict__, "tracing", setup("cli", "1", exporter))
    failed = f"00-{'3' * 32}-{'4' * 16}-01"
    one = dead(Made("j"), [("__dlq.errors.traceparent", failed.encode())])
    record = outgoing(connection, one, Rewritten(one.key, one.value, one.original_headers, False), "render.face", 1)
    assert record.span is not None
    record.span.end()
    connection.tracing.provider.force_flush()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.parent) == ("replay", None)
    assert [format(link.context.trace_id, "032x") for link in span.links] == ["3" * 32]
    assert span.context is not None
    sent = [value for name, value in record.headers if name == "traceparent"]
    assert sent == [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01".encode()]
    connection.tracing.shutdown()


def test_the_number_of_headers_is_the_same_from_replay_to_replay() -> None:
    connection = Connection(Deployment())
    headers: Headers = [("traceparent", TRACEPARENT.encode()), ("Lipstage-Attempt", b"3"), ("x", None)]
    counts = []
    for number in (1, 2, 3):
        one = DeadLetter(0, 1, 1, b"j", b"v", [*headers, ("__dlq.errors.topic", b"render.face")])
        record = outgoing(connection, one, Rewritten(one.key, one.value, one.original_headers, False), "t", number)
        headers = record.headers
        counts.append(len(headers))
        assert [name for name, _ in headers].count("traceparent") == 1
    assert counts == [5, 5, 5]
    assert dict(headers)["lipstage-origin"] == b"render.face/0/0", "the first record, not the replay before"


@pytest.mark.parametrize("is_reversed", [False, True])
def test_events_count_in_whatever_order_they_are_read(is_reversed: bool) -> None:
    failed, again, done = (FAILED, 0), (RUNNING, 1), (DONE, 1)
    for events, expected in (([failed, again], RUNNING), ([failed, again, done], DONE), ([failed], FAILED)):
        jobs, one = Jobs(), job_hash("default", "j")
        for kind, replays in reversed(events) if is_reversed else events:
            jobs.apply(one, kind, replays)
        assert jobs.end(one) == expected, events
    jobs.apply(one, RUNNING, 5)
    assert jobs.replays(one) == 5
