"""The trace receiver, and the tree of a trace."""

import contextlib
import gzip
import json
import socket
import sqlite3
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.local.trace_store import TraceStore
from shared.local.traces import MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_PARTS, TooLarge, decode, decompressed, handler
from shared.runtime.host.bounded_http import BoundedHTTPServer
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import MAX_DEPTH, job_spans, tree

TRACE = "ab" * 16


def span(span_id: str, parent: str = "", start: int = 0, end: int = 10, **attributes: object) -> StoredSpan:
    names = {k.replace("_", "."): v for k, v in attributes.items()}
    return StoredSpan(TRACE, span_id, parent, f"n{span_id}", "audio", "internal", start, end, names, [], [], None)


def request(job: str, tenant: str = "default", trace: str = TRACE, span_id: bytes = b"12345678") -> bytes:
    export = ExportTraceServiceRequest()
    resource = export.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "infer"
    found = resource.scope_spans.add().spans.add()
    found.trace_id, found.span_id, found.name = bytes.fromhex(trace), span_id, "run_inference"
    found.start_time_unix_nano, found.end_time_unix_nano = 1_000, 3_000
    for key, value in {"render.job": job, "tenant": tenant}.items():
        attribute = found.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    return export.SerializeToString()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    store = TraceStore(tmp_path / "spans.sqlite", keep=10)
    server = BoundedHTTPServer(("127.0.0.1", 0), handler(store), max_connections=MAX_CONNECTIONS, connection_s=30)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    store.close()


def post(url: str, body: bytes, **headers: str) -> int:
    asked = urllib.request.Request(f"{url}/v1/traces", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("packed", [False, True])
def test_spans_are_stored_and_returned_by_job(url: str, packed: bool) -> None:
    body = request("job-1")
    headers = {"Content-Encoding": "gzip"} if packed else {}
    assert post(url, gzip.compress(body) if packed else body, **headers) == 200
    with urllib.request.urlopen(f"{url}/jobs/job-1") as answer:
        found = json.load(answer)
    assert list(found) == [TRACE]
    assert found[TRACE][0]["service"] == "infer"
    assert found[TRACE][0]["attributes"] == {"render.job": "job-1", "tenant": "default"}


def test_equal_job_ids_of_two_tenants_are_separated(url: str) -> None:
    other = "cd" * 16
    assert post(url, request("job-1")) == 200
    assert post(url, request("job-1", "acme", other, b"abcdefgh")) == 200
    assert post(url, request("job-2", "acme", other, b"ABCDEFGH")) == 200

    def found(asked: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{url}/jobs/{asked}") as answer:
            return {trace: len(spans) for trace, spans in json.load(answer).items()}

    assert found("job-1?tenant=default") == {TRACE: 1}
    assert found("job-1?tenant=acme") == {other: 1}, "a span of the same trace that names another job is not its"
    assert found("job-1?tenant=nobody") == {}
    assert found("job-1") == {TRACE: 1, other: 2}, "who names no tenant gets whatever has the id"


def test_jobs_in_one_trace_are_separated_by_their_ancestor_spans() -> None:
    mine, theirs = {"render_job": "j", "tenant": "acme"}, {"render_job": "j", "tenant": "other"}
    spans = [
        span("batch"), span("a", "batch", **mine), span("a1", "a"), span("b", "batch", **theirs), span("b1", "b"),
        span("a2", "b1", **mine), span("a3", "a2"), span("x", "y"), span("y", "x"),
    ]  # fmt: skip
    assert [s.span_id for s in job_spans(spans, "acme", "j")] == ["batch", "a", "a1", "a2", "a3", "x", "y"]
    assert job_spans(spans, "acme", "k") == []


def test_invalid_body_is_rejected_and_the_receiver_continues(url: str) -> None:
    assert post(url, b"\xff\xff not protobuf") == 400
    assert post(url, b"not gzip", **{"Content-Encoding": "gzip"}) == 400
    assert post(url, request("job-2")) == 200


def raw(url: str, head: str) -> int:
    """The status of a request as it stands there."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_invalid_content_length_is_rejected(url: str) -> None:
    for length, status in (("abc", 411), ("-5", 411), ("9" * 5000, 413), (str(MAX_BODY_BYTES + 1), 413)):
        assert raw(url, f"POST /v1/traces HTTP/1.1\r\nContent-Length: {length}\r\n\r\n") == status
    assert raw(url, "POST /v1/traces HTTP/1.1\r\n\r\n") == 411


def test_body_above_the_decompressed_limit_is_rejected(url: str) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    assert post(url, bomb, **{"Content-Encoding": "gzip"}) == 413
    crowd = ExportTraceServiceRequest()
    spans = crowd.resource_spans.add().scope_spans.add().spans
    for _ in range(MAX_PARTS + 1):
        spans.add()
    assert post(url, crowd.SerializeToString()) == 413
    assert post(url, gzip.compress(request("job-3"))[:-9], **{"Content-Encoding": "gzip"}) == 400


def crowds() -> Iterator[tuple[str, ExportTraceServiceRequest]]:
    """Requests with too many parts, in each place that can have many."""
    for place in ("resources", "scopes", "resource attributes", "spans", "attributes", "events", "links", "of links"):
        crowd = ExportTraceServiceRequest()
        resource = crowd.resource_spans.add()
        scope = resource.scope_spans.add()
        span = scope.spans.add()
        parts = {
            "resources": crowd.resource_spans, "scopes": resource.scope_spans, "spans": scope.spans,
            "resource attributes": resource.resource.attributes, "attributes": span.attributes,
            "events": span.events, "links": span.links, "of links": span.links.add().attributes,
        }[place]  # fmt: skip
        for _ in range(MAX_PARTS):
            parts.add()
        yield place, crowd


@pytest.mark.parametrize(("place", "crowd"), list(crowds()))
def test_parts_of_a_request_are_limited_wherever_they_are(place: str, crowd: ExportTraceServiceRequest) -> None:
    with pytest.raises(TooLarge):
        decode(crowd.SerializeToString())


def test_nested_attribute_is_kept_as_text_while_it_is_small() -> None:
    export = ExportTraceServiceRequest.FromString(request("j"))
    found = export.resource_spans[0].scope_spans[0].spans[0]
    for number in (3, 3000):
        attribute = found.attributes.add()
        attribute.key = f"list of {number}"
        for _ in range(number):
            attribute.value.array_value.values.add().string_value = ""
    (span,) = decode(export.SerializeToString())
    assert "array_value" in str(span.attributes["list of 3"])
    assert str(span.attributes["list of 3000"]).startswith("array_value of ")


def test_body_in_chunks_is_rejected(url: str) -> None:
    head = "POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    assert raw(url, f"{head}\r\n5\r\nhello\r\n0\r\n\r\n") == 411
    assert raw(url, f"{head}Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n") == 411


def test_body_that_never_ends_takes_no_place(url: str) -> None:
    """Each says that it sends the largest body, and sends one byte."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES}\r\n\r\nx".encode()
    waiting = []
    with contextlib.ExitStack() as clients:
        for _ in range(MAX_CONNECTIONS + 8):
            waiting.append(clients.enter_context(socket.create_connection((host, int(port)), 30)))
            waiting[-1].sendall(head)
        assert post(url, request("job-9")) == 200
        with contextlib.suppress(ConnectionError):
            assert waiting[0].recv(1) == b"", "the oldest is ended"


@pytest.mark.parametrize(
    ("error", "status"), [(sqlite3.OperationalError("database or disk is full"), 503), (RecursionError(), 400)]
)
def test_storage_failure_returns_503_and_a_retry_succeeds(
    url: str, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as m:
        m.setattr(TraceStore, "add", full)
        assert post(url, request("job-4")) == status
    assert post(url, request("job-4")) == 200


@given(st.binary(max_size=300), st.sampled_from([b"", request("job-5"), b"\x0a\xff\xff\xff\xff\x0f"]), st.booleans())
def test_any_bytes_are_decoded_or_rejected(tail: bytes, head: bytes, nested: bool) -> None:
    body = head + (b"\x0a\x80\x01" * 50 if nested else b"") + tail
    with contextlib.suppress(DecodeError, TooLarge):
        json.dumps([asdict(span) for span in decode(body)])
    with contextlib.suppress(zlib.error, TooLarge):
        decompressed(body)


def test_oldest_traces_are_deleted_first(tmp_path: Path) -> None:
    store = TraceStore(tmp_path / "s.sqlite", keep=2)
    for n in range(4):
        store.add([StoredSpan(f"{n:032x}", "1", "", "a", "s", "internal", 0, 1, {}, [], [], None)])
    assert [bool(store.trace(f"{n:032x}")) for n in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_kept_as_text(number: float, url: str) -> None:
    export = ExportTraceServiceRequest.FromString(request("j"))
    attribute = export.resource_spans[0].scope_spans[0].spans[0].attributes.add()
    attribute.key, attribute.value.double_value = "audio.drift_ms", number
    assert post(url, export.SerializeToString()) == 200
    with urllib.request.urlopen(f"{url}/jobs/j?tenant=default") as answer:
        (spans,) = json.load(answer).values()
    assert spans[0]["attributes"]["audio.drift_ms"] == str(number)


def test_a_file_of_an_earlier_version_with_nan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE spans (trace_id TEXT, span_id TEXT, job TEXT, seen REAL, body TEXT,"
                   " PRIMARY KEY (trace_id, span_id))")  # fmt: skip
        for number, drift in enumerate((float("nan"), 7.0)):
            found = StoredSpan("ab" * 16, str(number), "", "render", "s", "internal", 5, 6, {"d": drift}, [], [], None)
            db.execute(
                "INSERT INTO spans VALUES (?, ?, 'j', 1.0, ?)", ("ab" * 16, str(number), json.dumps(asdict(found)))
            )
    store = TraceStore(path, keep=10)
    assert [one.span_id for one in store.renders(None, 0, 10, 10)] == ["1"]
    assert store.linked("cd" * 16) == []
    store.close()


def test_a_long_chain_of_parents_is_cut_into_trees() -> None:
    chain = [span(str(number), str(number - 1) if number else "", number, number + 1) for number in range(1000)]
    roots = tree(chain)
    assert [root.span.span_id for root in roots] == [str(number) for number in range(0, 1000, MAX_DEPTH)]


def test_tree_is_nested_sorted_and_tolerates_missing_parents() -> None:
    roots = tree([span("c", "b", 7, 8), span("b", "a", 5, 9), span("a", "", 1, 20), span("x", "gone", 2, 1)])
    assert [root.span.span_id for root in roots] == ["a", "x"]
    assert roots[0].children[0].children[0].span.span_id == "c"
    assert roots[1].duration_ms == 0.0, "a clock that went back is not a negative time"


def test_cycle_of_parents_terminates() -> None:
    roots = tree([span("a", "b", 1), span("b", "a", 2)])
    assert [root.span.span_id for root in roots] == ["a", "b"]
