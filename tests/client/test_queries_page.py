"""Every block of docs/queries.md: on the local trace receiver, and on a real Tempo where there is one."""

import json
import re
import shlex
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import cache
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from shared.client.tempo import Tempo
from shared.client.trace_receiver import Receiver
from shared.client.traces import find_renders
from shared.local.ports import HOST
from shared.local.trace_store import TraceStore
from shared.local.traces import handler
from shared.telemetry.query.fields import fields
from shared.telemetry.query.language import parse
from shared.telemetry.spans import StoredSpan
from tests.client import tempo as real_tempo
from tests.client.otlp import export_request
from tests.client.tempo import RunningTempo
from tests.conftest import ROOT

SECOND = 10**9
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{2,3} (.*)$", re.MULTILINE)


def blocks(kind: str) -> list[tuple[str, str]]:
    """The blocks of one language, each with the heading above it."""
    page = (ROOT / "docs" / "queries.md").read_text()
    found = []
    for match in FENCE.finditer(page):
        if match[1] == kind:
            heading = [one[1] for one in HEADING.finditer(page, 0, match.start())][-1]
            found.append((heading, match[2].strip()))
    return found


WHERE = [
    (heading, words[words.index("--where") + 1])
    for heading, text in blocks("sh")
    for words in [shlex.split(line) for line in text.splitlines()]
    if words[:2] == ["lipstage", "traces"]
]
SEARCHES = [(heading, text) for heading, text in blocks("traceql") if "_over_time" not in text]
METRICS = [(heading, text) for heading, text in blocks("traceql") if "_over_time" in text]

GOOD = {
    "engine": "sonic", "outcome": "done", "tenant": "default", "inference.steps": 25, "dynamic.scale": 1.0,
    "video.resolution": "512x512", "video.duration_s": 10.0, "audio.duration_s": 10.0, "audio.duration_gap_ms": 0,
    "container.drift_ms": 4, "lip.offset_ms": 20, "audio.drift_ms": 20, "render.quality": 0.9,
    "render.non_optimal": False, "render.slow": False, "attempts": 4, "replays": 0, "queue.wait_ms": 900,
    "seconds.audio": 0.5, "seconds.face": 0.3, "seconds.infer": 12.0, "seconds.encode": 2.0, "gpu.seconds": 11.5,
    "tenant.department": "film", "render.date": "2026-11-29", "owner.hash": "k1:0000000000000000",
}  # fmt: skip
ENDED = {"tenant": "default", "engine": "puppet", "attempts": 1, "replays": 0}
SPECIAL: dict[str, dict[str, Any]] = {
    "good": GOOD,
    "drifts": GOOD | {"lip.offset_ms": 180, "audio.drift_ms": 180},
    "container": GOOD | {"container.drift_ms": -120, "audio.drift_ms": 120, "inference.steps": 20},
    "cut-short": GOOD
    | {"audio.duration_asked_s": 12.0, "audio.duration_s": 9.52}
    | {"video.duration_s": 9.52, "audio.duration_gap_ms": 2480},
    "late-lips": GOOD
    | {"lip.offset_ms": 140, "audio.drift_ms": 140, "inference.steps": 10}
    | {"render.quality": 0.61, "render.non_optimal": True},
    "ugly": GOOD | {"render.quality": 0.3, "render.non_optimal": True},
    "slow": GOOD | {"render.slow": True, "seconds.infer": 70.0, "queue.wait_ms": 61_000},
    "failed": ENDED | {"outcome": "failed", "error.type": "CRASH_LOOP", "attempts": 7},
    "no-face": ENDED | {"outcome": "rejected", "render.rejection": "NO_FACE"},
    "expired": ENDED | {"outcome": "expired", "error.type": "EXPIRED"},
    "spot-0042": GOOD | {"replays": 1, "attempts": 5, "tenant.department": "sales", "render.date": "2026-11-28",
                         "owner.hash": "k1:9f86d081884c7d65"},
}  # fmt: skip


@cache
def now() -> int:
    return time.time_ns()


@cache
def spans() -> list[StoredSpan]:
    """A render for each question, the span of a stage, and a replay."""
    made = []
    for number, (job, values) in enumerate(SPECIAL.items(), 1):
        start = now() - number * SECOND
        length = 90 * SECOND if job == "slow" else SECOND // 2
        attributes = {"render.job": job, **values}
        made.append(StoredSpan(f"{number:032x}", f"{number:016x}", "", "render", "encode", "internal", start - length,
                               start, attributes, [], [], None, "0.3.0"))  # fmt: skip
    start, link = now() - SECOND, {"trace_id": TRACE, "span_id": "a" * 16, "kind": "replay_of"}
    replay = StoredSpan("ab" * 16, "b" * 16, "", "replay", "cli", "producer", start, now(), {}, [], [link], None)
    process = StoredSpan("ab" * 16, "c" * 16, "b" * 16, "process render.encode", "encode", "consumer", start, now(), {},
                         [], [], None)  # fmt: skip
    return [*made, replay, process]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    store = TraceStore(tmp_path_factory.mktemp("traces") / "spans.sqlite", keep=1000)
    server = ThreadingHTTPServer((HOST, 0), handler(store))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.add(spans())
    yield Receiver(f"http://{HOST}:{server.server_address[1]}")
    server.shutdown()
    server.server_close()
    store.close()


@pytest.fixture(scope="module")
def tempo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTempo]:
    with real_tempo.running(tmp_path_factory.mktemp("tempo")) as running:
        running.export(export_request(spans()))
        deadline = time.monotonic() + 60
        while len(found(Tempo(running.url), "")) < len(SPECIAL):
            assert time.monotonic() < deadline
        yield running


def found(source: Tempo | Receiver, where: str) -> list[str]:
    renders = find_renders(source, where, since_ns=now() - 600 * SECOND)
    return sorted(str(one.values["render.job"]) for one in renders)


def ask(tempo: RunningTempo, path: str, query: str, **options: Any) -> Any:
    """Tempo's answer; a query that it refuses fails with its reason."""
    seconds = {"start": now() // SECOND - 600, "end": now() // SECOND + 60}
    url = f"{tempo.url}{path}?{urllib.parse.urlencode({'q': query, **seconds, **options})}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        pytest.fail(f"{query}: {e.code} {e.read().decode()}")


def test_the_page_has_fifteen_questions_with_traceql() -> None:
    assert len({heading for heading, _ in SEARCHES + METRICS}) >= 15
    assert len(WHERE) >= 20


@pytest.mark.parametrize(("heading", "where"), WHERE)
def test_expression_finds_renders_in_the_receiver(receiver: Receiver, heading: str, where: str) -> None:
    jobs = found(receiver, where)
    assert jobs, heading
    assert len(jobs) < len(SPECIAL), "it chooses"


@pytest.mark.parametrize(("heading", "where"), WHERE)
def test_expression_finds_the_same_renders_in_tempo(
    tempo: RunningTempo, receiver: Receiver, heading: str, where: str
) -> None:
    assert found(Tempo(tempo.url), where) == found(receiver, where)


@pytest.mark.parametrize(("heading", "query"), SEARCHES)
def test_search_finds_the_renders_of_its_expression(tempo: RunningTempo, heading: str, query: str) -> None:
    traces = ask(tempo, "/api/search", query, limit=100, spss=100)["traces"]
    assert traces, heading
    wheres = [where for other, where in WHERE if other == heading]
    if wheres and "=~" not in query and "link:" not in query:
        renders = find_renders(Tempo(tempo.url), wheres[0], since_ns=now() - 600 * SECOND)
        assert {one["traceID"].zfill(32) for one in traces} == {one.trace_id for one in renders}, heading


@pytest.mark.parametrize(("heading", "query"), METRICS)
def test_metric_has_a_series(tempo: RunningTempo, heading: str, query: str) -> None:
    deadline = time.monotonic() + 60
    while not ask(tempo, "/api/metrics/query_range", query, step="10s").get("series"):
        assert time.monotonic() < deadline, heading
        time.sleep(0.2)


def test_every_attribute_of_the_page_is_queried() -> None:
    page = (ROOT / "docs" / "queries.md").read_text()
    used = set(re.findall(r"\bspan\.([a-z_]+(?:\.[a-z_]+)+|[a-z_]+)", " ".join(text for _, text in SEARCHES + METRICS)))
    assert used <= set(fields()), used - set(fields())
    (rules,) = [text for heading, text in blocks("") if heading == "The rules of an expression"]
    for line in rules.splitlines():
        parse(line)
    for name in re.findall(r"^- Columns.*?\.$", page, re.MULTILINE | re.DOTALL):
        assert "submitted_ms" in name


@pytest.mark.parametrize(("story", "job"), [("cut short", "cut-short"), ("lips come late", "late-lips")])
def test_story_is_explained_by_its_render_span_alone(receiver: Receiver, story: str, job: str) -> None:
    page = (ROOT / "docs" / "queries.md").read_text()
    text = next(part for part in page.split("\n## ") if part.startswith("Story") and story in part)
    stories = [where for heading, where in WHERE if heading.startswith("Story") and story in heading]
    assert found(receiver, stories[0]) == [job]
    for key, value in SPECIAL[job].items():
        for said in re.findall(rf"`{re.escape(key)}` (true|-?[0-9.]*[0-9])", text):
            shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
            assert said in (shown, "0"), key
    if job == "late-lips":
        assert job not in found(receiver, stories[1])


def test_example_of_the_client_library_runs_on_tempo(tempo: RunningTempo, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    (example,) = [text for language, text in FENCE.findall(page) if "find_renders(" in text and language == "python"]
    exec(example.replace("http://localhost:3200", tempo.url), {})
    (printed,) = capsys.readouterr().out.splitlines()
    assert printed.split()[1:] == ["90.0", "slow"]
