"""The trace of a record: the sender's, or one whose id is derived from the job."""

import json

import pytest
from opentelemetry.trace import get_current_span

from shared.runtime import trace_context
from shared.runtime.consume.assignment import Headers, Record

TRACE, SPAN = "a" * 32, "b" * 16
REQUEST = {"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}}


def record(body: object = REQUEST, key: bytes | None = b"job", offset: int = 7, headers: Headers = ()) -> Record:
    return Record("render.requests", 0, offset, key, json.dumps(body).encode(), list(headers), 1)


def sent(flags: str = "01") -> Headers:
    return [("traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode())]


def is_root(origin: trace_context.RecordTrace) -> bool:
    return not get_current_span(origin.parent).get_span_context().is_valid


def test_records_of_a_job_without_sender_context_share_one_trace() -> None:
    first = trace_context.of_request(record(), trusted=True)
    again = trace_context.of_request(record(offset=8), trusted=True)
    assert is_root(first)
    assert first.root_id == again.root_id


@pytest.mark.parametrize(
    "other", [record(key=b"other"), record(REQUEST | {"tenant": "b"}), record(REQUEST | {"engine": "sonic"})]
)
def test_other_jobs_and_refused_requests_have_their_own_traces(other: Record) -> None:
    assert (
        trace_context.of_request(other, trusted=True).root_id
        != trace_context.of_request(record(), trusted=True).root_id
    )


def test_records_without_an_id_have_their_own_traces() -> None:
    traces = {trace_context.of_request(record(key=None, offset=n), trusted=True).root_id for n in range(3)}
    assert len(traces) == 3


def test_sender_context_is_continued() -> None:
    record_trace = trace_context.of_request(record(headers=sent()), trusted=True)
    assert not is_root(record_trace)
    assert get_current_span(record_trace.parent).get_span_context().trace_id == int(TRACE, 16)
    assert [link.context.trace_id for link in record_trace.links] == [int(TRACE, 16)]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_untrusted_context_is_only_linked(flags: str) -> None:
    record_trace = trace_context.of_request(record(headers=sent(flags)), trusted=False)
    assert is_root(record_trace)
    assert [link.context.trace_id for link in record_trace.links] == [int(TRACE, 16)]
    assert record_trace.root_id == trace_context.of_request(record(), trusted=False).root_id


@pytest.mark.parametrize("value", [b"", b"\xff", b"[" * 5000, b"{}"])
def test_any_record_value_has_a_trace(value: bytes) -> None:
    odd = Record("render.requests", 0, 7, b"\xff", value, [("traceparent", b"\xff")], 1)
    assert trace_context.of_request(odd, trusted=True).root_id
    assert trace_context.of_task(odd).root_id


def test_task_without_traceparent_continues_the_trace_of_its_request() -> None:
    record_trace = trace_context.of_task(record({"submit_traceparent": f"00-{TRACE}-{SPAN}-01"}))
    assert get_current_span(record_trace.parent).get_span_context().trace_id == int(TRACE, 16)
