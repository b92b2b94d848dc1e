"""A short real run under Prometheus and, where one is found, Tempo: every query of every dashboard is answered.

It takes most of a minute: services that start, renders, and scrapes five seconds apart.
"""

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.client import Client
from shared.local import observability, store, tempo
from shared.local import stack as local
from shared.local.deployment import deployment_of
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.status import status
from tests.conftest import ROOT, Infrastructure, temporary_topics
from tests.deploy.dashboards import Query, queries
from tests.pipeline.conftest import spoken, unseen_portrait

PROMQL = [query for query in queries() if query.datasource == "prometheus"]
TRACEQL = [query for query in queries() if query.datasource == "tempo"]
METRIC = re.compile(r"\b(?:lipstage_\w+|traces_\w+|process_\w+|ALERTS|up)\b")
WITH_DATA = {"Replicas that answer", "Tasks a second", "Duration of tasks", "Wait in the queue",
             "Records not finished", "Object store: bytes a second", "Circuit breaker", "Spans",
             "Renders a minute", "Renders by outcome", "Busy slots", "CPU", "Memory of workers", "Longest running task",
             "Drift", "Quality", "Seconds of work for a second of video", "From request to video", "Oldest unprocessed",
             "Success ratio", "Targets down", "Starts of worker processes", "Restarts of services"}  # fmt: skip
FROM_TEMPO = {"Messages between stages", "Duration of spans (P95)"}
TRACES_WITH_DATA = {"Renders by department", "Seconds of video", "Renders over time", "Renders by tenant and day",
                    "All finished renders", "Renders of the department"}  # fmt: skip
MAY_BE_EMPTY = ("> 0", ">= 0", "ALERTS")
"""Ends of queries that leave out zeros, the NaN of a histogram without a new observation, or alerts that have ended:
one is pending while a service starts slowly.
"""
WAIT_S = 60.0
STAGES = 4
DONE = 2
"""Renders that succeed."""


@dataclass(frozen=True)
class Observed:
    """The stack after the run."""

    settings: LocalSettings
    stack: Stack

    def prometheus(self, path: str, **query: str) -> Any:
        return get(f"{self.stack.url('prometheus')}/api/v1/{path}", **query)["data"]

    def value(self, expression: str) -> float:
        """The value of a query with one series; 0 while there is none."""
        found = self.prometheus("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def tempo(self, path: str, **query: object) -> Any:
        return get(f"{self.stack.url('tempo')}/api/{path}", **query)

    def search(self, text: str) -> list[dict[str, Any]]:
        now = int(time.time())
        found: list[dict[str, Any]] = self.tempo("search", q=text, start=now - 3600, end=now + 1, limit=200)["traces"]
        return found


def get(url: str, **query: object) -> Any:
    """The JSON of an answer. Raises HTTPError when the query is refused."""
    address = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def observed(stack: Infrastructure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Services of their own on the session's broker and object store, with what is installed; three jobs."""
    folder = tmp_path_factory.mktemp("observed")
    if observability.find(LocalSettings(), "prometheus") is None:
        pytest.skip("prometheus is not on PATH, and LIPSTAGE_PROMETHEUS_BIN is not set")
    with temporary_topics(stack.bootstrap_servers) as prefix, pytest.MonkeyPatch.context() as environment:
        environment.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        environment.delenv("LIPSTAGE_GRAFANA_BIN", raising=False)
        settings = LocalSettings(
            state_dir=folder / "state",
            kafka_bootstrap_servers=stack.bootstrap_servers,
            s3_endpoint_url=stack.s3_endpoint_url,
            topic_prefix=prefix,
        )
        environment.setenv("LIPSTAGE_TOPIC_PREFIX", prefix)
        observed = Observed(settings, local.up(settings, with_observability=True))
        try:
            run(observed, folder)
            yield observed
        finally:
            local.down(settings, purge=True)


def run(observed: Observed, folder: Path) -> None:
    """Render two videos, be refused once, and wait until Prometheus and Tempo know."""
    portrait, speech, wrong = folder / "portrait.png", folder / "speech.wav", folder / "wrong.wav"
    portrait.write_bytes(unseen_portrait())
    speech.write_bytes(spoken(1.5))
    wrong.write_bytes(b"no recording")
    done = 'sum(lipstage_tasks_total{stage="encode", outcome="done"})'
    params = {"params": {"min_resolution": 256}, "department": "film", "owner": "anna"}
    with Client(deployment_of(observed.stack)) as client:
        for number in range(DONE):
            assert client.render(client.job_spec(portrait, speech, **params)).type == "done"
            # A rate needs a sample before and one after.
            until(lambda number=number: observed.value(done) == number + 1, "Prometheus scrapes the service")
        assert client.render(client.job_spec(portrait, wrong, **params)).type == "rejected"
    until(lambda: observed.value('sum(lipstage_tasks_total{outcome="rejected"})') == 1, "and after the rejection")
    lags = "count(count by (topic) (lipstage_consumer_lag))"
    until(lambda: observed.value(lags) >= STAGES, "every stage's statistics name its lag")
    if "tempo" in observed.stack.programs:
        until(lambda: len(observed.search('{ name = "render" && span.outcome = "done" }')) == DONE, "Tempo has renders")
        until(lambda: observed.value("sum(traces_service_graph_request_total)") > 0, "Tempo sends its metrics")
        names = "count(count by (__name__) ({__name__=~'traces_spanmetrics_latency_bucket'} offset 5s))"
        until(lambda: observed.value(names) > 0, "a second sample of them")


def needs_tempo(observed: Observed) -> None:
    if "tempo" not in observed.stack.programs:
        pytest.skip("tempo is not on PATH, and LIPSTAGE_TEMPO_BIN is not set")


@pytest.mark.parametrize("query", PROMQL, ids=str)
def test_panel_of_metrics_has_data(observed: Observed, query: Query) -> None:
    """Whenever the run has made every metric that the query reads."""
    result = observed.prometheus("query", query=query.text)["result"]
    known = set(observed.prometheus("label/__name__/values"))
    expected = set(METRIC.findall(query.text)) <= known
    if query.panel in WITH_DATA or (query.panel in FROM_TEMPO and "tempo" in observed.stack.programs):
        assert expected, "the run makes these metrics"
    assert result or not expected or query.text.endswith(MAY_BE_EMPTY)


@pytest.mark.parametrize("query", TRACEQL, ids=str)
def test_panel_of_traces_is_answered(observed: Observed, query: Query) -> None:
    needs_tempo(observed)
    now = int(time.time())
    times = {"start": now - 3600, "end": now + 1}

    def found() -> bool:
        if query.target.get("tableType"):
            return bool(observed.search(query.text))
        path = "metrics/query" if query.target["metricsQueryType"] == "instant" else "metrics/query_range"
        return bool(observed.tempo(path, q=query.text, **times).get("series"))

    if query.panel in TRACES_WITH_DATA:
        until(found, "Tempo knows the renders")  # Between two of its blocks it may leave a span out of one answer.
    else:
        found()


def test_every_service_and_part_is_scraped(observed: Observed) -> None:
    targets = observed.prometheus("targets")["activeTargets"]
    replicas = {target["labels"]["replica"] for target in targets if target["labels"]["job"] == "lipstage"}
    assert replicas == {record.name for record in observed.stack.services}
    parts = {target["labels"]["part"] for target in targets if target["labels"]["job"] == "observability"}
    assert parts == set(observed.stack.programs)
    assert {target["health"] for target in targets} == {"up"}, [target["lastError"] for target in targets]


def test_committed_rules_are_loaded(observed: Observed) -> None:
    groups = observed.prometheus("rules")["groups"]
    committed = {file.name for file in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")}
    assert {Path(group["file"]).name for group in groups} == committed
    assert all(rule["health"] != "err" for group in groups for rule in group["rules"])


@pytest.mark.parametrize(
    "metric",
    [
        'lipstage_stage_duration_seconds_bucket{stage="encode"}',
        'traces_spanmetrics_latency_bucket{service="encode"}',
    ],
)
def test_exemplar_opens_its_trace(observed: Observed, metric: str) -> None:
    """Of the services' own metrics, and of those that Tempo makes of spans."""
    needs_tempo(observed)
    start, end = time.time() - 600, time.time() + 1
    found = observed.prometheus("query_exemplars", query=metric, start=str(start), end=str(end))
    traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    assert traces
    for trace in traces:
        services = {
            attribute["value"]["stringValue"]
            for resource in observed.tempo(f"v2/traces/{trace}")["trace"]["resourceSpans"]
            for attribute in resource["resource"]["attributes"]
            if attribute["key"] == "service.name"
        }
        assert {"audio", "face", "infer", "encode"} <= services, "one trace for the whole render"


def test_service_graph_joins_the_stages(observed: Observed) -> None:
    needs_tempo(observed)
    edges = {
        (series["metric"]["client"], series["metric"]["server"])
        for series in observed.prometheus("query", query="traces_service_graph_request_total")["result"]
    }
    assert {("audio", "face"), ("face", "infer"), ("infer", "encode")} <= edges


def test_parts_listen_on_loopback_only(observed: Observed) -> None:
    pids = [part.pid for part in status(observed.settings) if part.name in observability.PARTS]
    assert pids
    for pid in pids:
        inodes = {link.readlink().name for link in (Path("/proc") / str(pid) / "fd").iterdir() if is_socket(link)}
        for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
            lines = [line.split() for line in (Path("/proc") / str(pid) / "net" / table).read_text().splitlines()[1:]]
            listening = [words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in inodes]
            assert [address for address in listening if not address.startswith(loopback)] == []


def is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:
        return False


def test_tempo_writes_its_blocks_to_the_object_store(observed: Observed) -> None:
    """It does so 30 s after the first span."""
    needs_tempo(observed)
    s3 = store.client(observed.stack.s3_endpoint_url, None, observed.stack.region)

    def written() -> bool:
        listed = s3.list_objects_v2(Bucket=tempo.bucket_name(observed.stack)).get("Contents", [])
        return any(entry["Key"].endswith("data.parquet") for entry in listed)

    until(written, "a block on the object store")
