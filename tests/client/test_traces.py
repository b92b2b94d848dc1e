"""Questions about renders: Tempo and the local trace receiver find the same ones."""

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.client import JobKey
from shared.client.errors import InvalidQuery, TracesRefused, TracesUnreachable
from shared.client.tempo import Tempo
from shared.client.trace_receiver import Receiver
from shared.client.traces import MAX_LINKED, FoundRender, Traces, TraceSource, find_renders, job_traces, windows
from shared.local.ports import HOST, pick
from shared.local.trace_store import TraceStore
from shared.local.traces import handler
from shared.telemetry.query.expression import matches
from shared.telemetry.query.fields import Type, fields
from shared.telemetry.query.language import parse
from shared.telemetry.query.span_values import value_of
from shared.telemetry.spans import StoredSpan
from tests.cli.example_traces import FIRST, example
from tests.cli.example_traces import SECOND as SECOND_TRACE
from tests.client import tempo as real_tempo
from tests.client.otlp import export_request

SECOND = 10**9
HOUR = 3600 * SECOND


def render(number: int, **values: Any) -> StoredSpan:
    """The summary span of the job ``j<number>``, submitted ten times so many seconds ago and so many seconds long."""
    attributes = {"render.job": f"j{number}", "tenant": "default", "engine": "puppet", "outcome": "done"}
    attributes |= {key.replace("__", "."): value for key, value in values.items()}
    start, trace = now() - number * 10 * SECOND, f"{number:032x}"
    end = start + number * SECOND
    return StoredSpan(
        trace, f"{number:016x}", "", "render", "encode", "internal", start, end, attributes, [], [], None, "0.3.0"
    )


def span(name: str, trace: str, own: str, attributes: dict[str, Any], links: Any = ()) -> StoredSpan:
    start, end = now() - 5 * SECOND, now() - 4 * SECOND
    return StoredSpan(trace, own, "", name, "infer", "internal", start, end, attributes, [], list(links), None)


@cache
def now() -> int:
    """When the spans are sent, about: Tempo does not search the newest blocks for what ended minutes ago."""
    return time.time_ns()


@cache
def renders() -> list[StoredSpan]:
    return [
        render(1, inference__steps=25, audio__drift_ms=130, render__quality=0.91, render__slow=True),
        render(2, inference__steps=25, audio__drift_ms=20, render__quality=0.5, render__slow=False, engine="sonic"),
        render(3, inference__steps=10, audio__drift_ms=180, lip__offset_ms=180, render__quality=0.25),
        render(4, inference__steps=30, audio__drift_ms=101, lip__offset_ms=-101, render__slow=False, tenant="acme"),
        render(5, inference__steps=20, outcome="failed", error__type="CRASH_LOOP"),
        render(6, inference__steps=21, audio__drift_ms=100, audio__duration_asked_s=12.0, video__duration_s=9.5),
        render(7, outcome="rejected", tenant__department='a "quoted" \\ name', queue__wait_ms=61_000),
        render(8, inference__steps=2**40, audio__drift_ms=0, render__quality=1.0, gpu__seconds=0.1 + 0.2),
    ]


@cache
def others() -> list[StoredSpan]:
    """Spans of other kinds: none is a render."""
    replayed = {"trace_id": f"{5:032x}", "span_id": f"{5:016x}", "kind": "replay_of"}
    return [
        span("run_inference", f"{1:032x}", "f" * 16, {"render.job": "j1", "tenant": "default", "audio.drift_ms": 999}),
        span("replay", "ee" * 16, "e" * 16, {}, links=[replayed]),
    ]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    store = TraceStore(tmp_path_factory.mktemp("traces") / "spans.sqlite", keep=1000)
    server = ThreadingHTTPServer((HOST, 0), handler(store))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.add([*renders(), *others()])
    yield Receiver(f"http://{HOST}:{server.server_address[1]}")
    server.shutdown()
    server.server_close()
    store.close()


@pytest.fixture(scope="module")
def tempo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tempo]:
    with real_tempo.running(tmp_path_factory.mktemp("tempo")) as running:
        running.export(export_request([*renders(), *others()]))
        source = Tempo(running.url)
        deadline = time.monotonic() + 60
        while len(find_renders(source, since_ns=now() - HOUR)) < len(renders()) or not source.linked(f"{5:032x}"):
            assert time.monotonic() < deadline
        yield source


@pytest.fixture(params=["receiver", "tempo"])
def source(request: pytest.FixtureRequest) -> TraceSource:
    found: TraceSource = request.getfixturevalue(request.param)
    return found


def ids(found: list[FoundRender]) -> list[str]:
    return [str(one.values["render.job"]) for one in found]


def ask(source: TraceSource, where: str, **options: Any) -> list[str]:
    return ids(find_renders(source, where, **{"since_ns": now() - HOUR, "until_ns": now()} | options))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("inference.steps > 20 and audio.drift_ms > 100", ["j1", "j4"]),
        ("", ["j1", "j2", "j3", "j4", "j5", "j6", "j7", "j8"]),
        ("audio.drift_ms >= 100.5", ["j1", "j3", "j4"]),
        ("lip.offset_ms < -100 or lip.offset_ms > 100", ["j3", "j4"]),
        ("not (audio.drift_ms > 100)", ["j2", "j6", "j8"]),
        ("render.slow", ["j1"]),
        ("not render.slow", ["j2", "j4"]),
        ('outcome != "done"', ["j5", "j7"]),
        ("tenant.department = 'a \"quoted\" \\\\ name'", ["j7"]),
        ("duration > 6s", ["j7", "j8"]),
        ("duration <= 2000ms", ["j1", "j2"]),
        ("render.quality < 1", ["j1", "j2", "j3"]),
        ("gpu.seconds > 0.3", ["j8"]),
        ('service.version = "0.3.0" && tenant = "acme"', ["j4"]),
        ("video.duration_s < 10 && audio.duration_asked_s > 10", ["j6"]),
        ("inference.steps >= 1099511627776", ["j8"]),
    ],
)
def test_renders_are_found_newest_first(source: TraceSource, where: str, expected: list[str]) -> None:
    assert ask(source, where) == expected


def test_range_and_limit_choose_the_newest(source: TraceSource) -> None:
    assert ask(source, "", limit=3) == ["j1", "j2", "j3"]
    assert ask(source, "", since_ns=renders()[3].start_ns, until_ns=renders()[1].start_ns) == ["j3", "j4"]
    assert ask(source, "", since_ns=now()) == []


def test_a_found_render_has_what_was_asked_for(source: TraceSource) -> None:
    (found,) = find_renders(source, "render.quality = 0.25 and duration > 1s", since_ns=now() - HOUR)
    assert (found.trace_id, found.span_id) == (f"{3:032x}", f"{3:016x}")
    assert (found.start_ns, found.duration_ns) == (renders()[2].start_ns, 3 * SECOND)
    always = {"render.job": "j3", "tenant": "default", "engine": "puppet", "outcome": "done"}
    assert found.values == always | {"render.quality": 0.25}


def test_a_job_has_its_trace_and_that_of_its_replay(source: TraceSource) -> None:
    traces = job_traces(source, JobKey("default", "j5"))
    assert list(traces) == [f"{5:032x}", "ee" * 16], "the replay is found by its link: no stage has taken it yet"
    assert traces["ee" * 16][0].links[0]["kind"] == "replay_of"
    (spans,) = job_traces(source, JobKey("default", "j1")).values()
    assert {span.name for span in spans} == {"render", "run_inference"}
    assert job_traces(source, JobKey("other", "j1")) == {}
    assert job_traces(source, JobKey("default", "none")) == {}
    assert source.trace("ab" * 16) == []


class Chain:
    """A source in which every trace is linked to the one before, and none names a job but the first."""

    address = "nowhere"

    def renders(self, *_: Any) -> list[FoundRender]:
        return []

    def job(self, job: JobKey) -> Traces:
        return {"0": self.trace("0")}

    def trace(self, trace_id: str) -> list[StoredSpan]:
        return [span("replay", f"{int(trace_id):032x}", "a" * 16, {})]

    def linked(self, trace_id: str) -> list[str]:
        return [str(int(trace_id) + 1)]


def test_links_are_followed_so_far_only() -> None:
    assert len(job_traces(Chain(), JobKey("default", "j"))) == 1 + MAX_LINKED


def test_traces_are_in_the_order_of_their_work() -> None:
    """The summary span of a replay starts with the submission, long before its trace."""
    traces = example()

    class Reversed(Chain):
        def job(self, job: JobKey) -> Traces:
            return {trace: traces[trace] for trace in reversed(traces)}

        def linked(self, trace_id: str) -> list[str]:
            return []

    assert list(job_traces(Reversed(), JobKey("default", "spot-0042"))) == [FIRST, SECOND_TRACE]


def literal(kind: Type) -> st.SearchStrategy[str]:
    """A value as a person writes it; near those of the spans, so that comparisons differ."""
    match kind:
        case Type.INT:
            near = st.sampled_from([0, 10, 20, 21, 25, 30, 100, 101, 130, 180, -101, 61_000, 2**40])
            return st.tuples(near, st.sampled_from([-1, 0, 1])).map(lambda pair: str(sum(pair)))
        case Type.FLOAT:
            values = ["0.25", "0.5", "0.91", "1", "9.5", "12", "0.3", "-1", "1e-3", "0.30000000000000004"]
            return st.sampled_from(values)
        case Type.BOOL:
            return st.sampled_from(["true", "false"])
        case Type.DURATION:
            return st.sampled_from(["1s", "3", "3500ms", "4s", "0.1m", "8s", "1h"])
        case Type.TEXT:
            values = ["puppet", "sonic", "done", "failed", "acme", "default", "j3", "0.3.0", 'a \\"quoted\\" \\\\ name']
            return st.sampled_from(values).map(lambda text: f'"{text}"')


@st.composite
def comparison(draw: st.DrawFn) -> str:
    field = draw(st.sampled_from(list(fields().values())))
    operators = ["=", "!="] if field.type is Type.BOOL else ["=", "!=", "<", "<=", ">", ">="]
    return f"{field.key} {draw(st.sampled_from(operators))} {draw(literal(field.type))}"


EXPRESSIONS = st.recursive(
    comparison(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or ", " && ", " || "]), inner).map("".join).map("({})".format),
        inner.map("not ({})".format),
    ),
    max_leaves=6,
)


def expected_of(where: str) -> list[str]:
    expression = parse(where)
    return [
        str(span.attributes["render.job"])
        for span in renders()
        if matches(expression, lambda key, span=span: value_of(span, key))
    ]


@settings(max_examples=60, deadline=None)
@given(where=EXPRESSIONS)
def test_any_expression_has_the_same_answer_in_the_receiver(receiver: Receiver, where: str) -> None:
    assert ask(receiver, where) == expected_of(where)


@settings(max_examples=120, deadline=None)
@given(where=EXPRESSIONS)
def test_any_expression_has_the_same_answer_in_tempo(tempo: Tempo, where: str) -> None:
    assert ask(tempo, where) == expected_of(where), where


def test_a_refused_expression_is_not_sent(receiver: Receiver) -> None:
    with pytest.raises(InvalidQuery, match="QUERY_UNKNOWN_ATTRIBUTE") as error:
        ask(Receiver("http://127.0.0.1:1"), "audio.drift > 100")
    assert error.value.error is not None and error.value.error.position == 0
    with pytest.raises(TracesRefused, match="400"):
        urllib_error = receiver.address + "/renders"
        from shared.client.trace_http import get

        get(urllib_error, {"where": "nonsense"})


def test_a_source_that_is_away_or_another_program_is_reported(tmp_path: Path, source: TraceSource) -> None:
    gone = f"http://{HOST}:{pick(1)[0]}"
    for kind in (Receiver, Tempo):
        with pytest.raises(TracesUnreachable, match="does not answer"):
            ask(kind(gone), "")
    other = Tempo(source.address) if isinstance(source, Receiver) else Receiver(source.address)
    with pytest.raises(TracesRefused):
        ask(other, "")


@pytest.mark.parametrize("body", [b"null", b'{"error": "no"}', b'[{"strange": 1}]', b"[1]", b"42"])
def test_an_answer_of_another_program_is_reported(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.client.trace_http.get", lambda *_, **__: body)
    asked = Receiver("http://127.0.0.1:1")
    with pytest.raises(TracesRefused, match="not as the trace receiver"):
        ask(asked, "")
    if body[:1] != b"[":
        with pytest.raises(TracesRefused, match="not as the trace receiver"):
            asked.linked("ab")
    if body[:1] != b"{":
        with pytest.raises(TracesRefused, match="not as the trace receiver"):
            asked.job(JobKey("default", "j"))


def test_a_collector_that_does_not_speak_http_is_reported() -> None:
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            connection.sendall(b"\x00\x00\x12\x04 no HTTP\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(TracesUnreachable):
            ask(Receiver(f"http://{HOST}:{server.getsockname()[1]}"), "")


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="QUERY_SYNTAX"):
        ask(Receiver("http://127.0.0.1:1"), 'tenant = "\udcff"')


def test_times_beyond_every_calendar_are_answered(receiver: Receiver) -> None:
    assert len(ask(receiver, "", since_ns=-(2**70), until_ns=2**70)) == len(renders())


def test_renders_beyond_tempos_limit_are_taken_from_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that was submitted in one span of the caller is one trace."""
    trace, many = "ab" * 16, renders() * 40
    spans = [replace(one, trace_id=trace, span_id=f"{number:016x}") for number, one in enumerate(many)]
    part = {"spans": [{"spanID": "1", "startTimeUnixNano": str(now())}], "matched": len(spans)}
    answer = {"traces": [{"traceID": trace, "spanSets": [part]}]}
    monkeypatch.setattr("shared.client.tempo.get_json", lambda *_: answer)
    monkeypatch.setattr(Tempo, "trace", lambda *_: spans)
    assert ask(Tempo("http://127.0.0.1:1"), "render.slow", limit=999) == ["j1"] * 40


def test_long_ranges_are_asked_in_pieces_the_newest_first() -> None:
    assert list(windows(0, 25, 10)) == [(15, 25), (5, 15), (0, 5)]
    assert list(windows(5, 5, 10)) == []


def test_a_broken_request_does_not_end_the_receiver(receiver: Receiver) -> None:
    for query in ("", "where=(((&since_ns=0&until_ns=1&limit=1", "since_ns=x&until_ns=1&limit=1", "limit=1"):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{receiver.address}/renders?{query}", timeout=10)
    assert ask(receiver, "", limit=1) == ["j1"]
