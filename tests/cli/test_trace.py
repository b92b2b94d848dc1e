"""`lipstage trace`: waterfalls on terminals of any width, retries and replays, and the page."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from shared.cli import console, trace, trace_lines, trace_page, trace_source, waterfall
from shared.client import JobKey
from shared.client.traces import Traces
from tests.cli.conftest import Lipstage
from tests.cli.example_traces import FIRST, SECOND, example

JOB = JobKey("default", "spot-0042")
SGR = re.compile(r"\x1b\[\d*m")


class Known:
    """A source that knows the traces of one job."""

    def __init__(self, traces: Traces) -> None:
        self.traces = traces

    def job(self, job: JobKey) -> Traces:
        return dict(self.traces) if job == JOB else {}

    def trace(self, trace_id: str) -> list[Any]:
        return self.traces.get(trace_id, [])

    def linked(self, trace_id: str) -> list[str]:
        return []


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_source, "source", lambda: Known(example()))


@pytest.mark.usefixtures("known")
def test_traces_are_shown_below_each_other_with_their_relation(lipstage: Lipstage) -> None:
    shown = lipstage("trace", "spot-0042").out.splitlines()
    assert shown[0] == f"trace {FIRST}, 14 spans, 24.0 s"
    assert f"trace {SECOND}, 7 spans, 34.2 s, replay of the trace {FIRST}" in shown
    (retry,) = [line for line in shown if "retry of" in line]
    assert "process render.infer.sonic" in retry and "attempt=2" in retry and "retry of the attempt at 4.900" in retry
    assert [line for line in shown if "waited 3.00 s" in line]
    assert not [line for line in shown if waterfall.BUSY in line], "bars are for terminals"


@pytest.mark.usefixtures("known")
def test_json_has_links_with_their_kind(lipstage: Lipstage) -> None:
    spans = lipstage("trace", "spot-0042", "--json").json[SECOND]
    assert spans[0]["links"][0]["kind"] == "replay_of"
    assert spans[0]["version"] == "0.3.0"


@pytest.mark.parametrize("columns", [60, 80, 100, 140, 200])
def test_waterfall_fits_the_terminal_and_its_bars_line_up(columns: int) -> None:
    for spans in example().values():
        spans = [replace(span, error=None) for span in spans]  # The reason of a failure is never cut.
        shown = [SGR.sub("", console.line(parts)) for parts in trace_lines.lines(spans, columns)]
        assert all(len(line) <= columns for line in shown), shown
        rows = [line for line in shown if waterfall.BUSY in line]
        assert len(rows) in (0, len(spans)), "every span has a bar, or none"
        assert bool(rows) == (columns >= 80)


def test_bars_show_the_wait_and_are_at_least_one_character() -> None:
    assert waterfall.bar((0.0, 0.5, 1.0), 8) == "░░░░████"
    assert waterfall.bar((0.5, 0.5, 0.5), 8) == "    █   "
    assert waterfall.bar((1.0, 1.0, 1.0), 8) == "       █"
    assert waterfall.bar((0.0, 0.0, 1.0), 8) == "████████"


def test_summary_of_a_replay_does_not_stretch_its_trace() -> None:
    spans = example()[SECOND]
    shares = {span.name: waterfall.share(span, spans) for span in spans}
    assert shares["render"] == (0.0, 0.0, 1.0)
    assert shares["process render.infer.sonic"][2] > 0.9


class Reader(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.usefixtures("known")
def test_page_is_self_contained_and_has_every_span(lipstage: Lipstage, tmp_path: Path) -> None:
    target = tmp_path / "trace.html"
    ran = lipstage("trace", "spot-0042", "--html", target)
    assert (ran.code, ran.out) == (0, f"{target}\n")
    page = Reader(target.read_text())
    assert [tag for tag, _ in page.tags].count("details") == 21
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe", "object")]
    outside = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert set(outside) <= {f"#{FIRST}", f"#{SECOND}"}
    assert "url(" not in target.read_text() and "@import" not in target.read_text()
    text = " ".join(page.text)
    for said in (
        "OUT_OF_MEMORY",
        "audio.duration_asked_s",
        "retry of the attempt at 4.900",
        "replay_of",
        "8.000 s"[2:],
    ):
        assert said in text
    again = lipstage("trace", "spot-0042", "--html", target)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_page_escapes_whatever_a_span_says() -> None:
    evil = "</summary><script>alert(1)</script>\"'&\u202e\x1b[2J"
    spans = [
        replace(span, name=evil, service=evil, span_id=evil, version=evil, error=evil, kind=evil,
                attributes={evil: evil}, links=[{"trace_id": evil, "span_id": evil, "kind": evil}],
                events=[{"name": evil, "time_ns": 0, "attributes": {evil: evil}}])
        for span in example()[FIRST][:1]
    ]  # fmt: skip
    page = trace_page.page(JobKey("default", evil), {evil: spans})
    names = {tag for tag, _ in Reader(page).tags}
    assert "script" not in names
    assert "\u202e" not in page and "\x1b" not in page
    plain = {tag for tag, _ in Reader(trace_page.page(JOB, {FIRST: example()[FIRST][:1]})).tags}
    assert names == plain | {"h3", "table", "tr", "th", "td", "a", "code"}


@pytest.mark.usefixtures("known")
def test_options_that_contradict_are_refused(lipstage: Lipstage) -> None:
    assert lipstage("trace", "spot-0042", "--html", "-", "--json").code == 2
    assert lipstage("trace", "spot-0042", "--force").code == 2
    assert lipstage("trace", "spot-0042", "--html", "-").out.startswith("<!doctype html>")


def test_without_a_stack_and_without_tempo_the_source_is_named(lipstage: Lipstage, nowhere: None) -> None:
    ran = lipstage("trace", "spot-0042")
    assert ran.code == 3 and "LIPSTAGE_TEMPO_URL" in ran.err


def test_a_trace_that_is_not_kept_is_named() -> None:
    only = {SECOND: example()[SECOND]}
    assert trace.headline(SECOND, only).endswith(f"replay of the trace {FIRST}, which is not kept")


def test_only_links_to_what_failed_make_a_replay() -> None:
    """A render of a sender that is not trusted is linked to the submission."""
    spans = example()[FIRST]
    sender = {"trace_id": "cd" * 16, "span_id": "1" * 16, "kind": "sender"}
    linked = [replace(spans[0], links=[sender]), *spans[1:]]
    assert "replay" not in trace.headline(FIRST, {FIRST: linked})
    of_an_earlier_version = [replace(spans[0], links=[{**sender, "kind": ""}]), *spans[1:]]
    assert "replay of the trace " + "cd" * 16 in trace.headline(FIRST, {FIRST: of_an_earlier_version})


def test_strange_trace_ids_do_not_break_the_page() -> None:
    traces = example()
    strange = {**traces, "": [replace(traces[FIRST][0], trace_id="")], "ef": [replace(traces[FIRST][0], trace_id="ef")]}
    assert trace_page.page(JOB, strange).count(f'<a href="#{FIRST}">{FIRST}</a>') == 1


def test_a_deep_trace_is_shown() -> None:
    spans = example()[FIRST]
    chain = [replace(spans[0], span_id=f"{n:016x}", parent_id=f"{n - 1:016x}" if n else "") for n in range(3000)]
    assert len(list(trace_lines.lines(chain, 100))) >= len(chain)
    assert trace_page.page(JOB, {FIRST: chain}).count("<details") == len(chain)
