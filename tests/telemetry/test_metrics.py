"""The catalogue of metrics: complete, documented, bounded."""

import re
import uuid
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from shared.telemetry import metrics
from shared.telemetry.metric_entries import CATALOGUE, LABELS, LabelValues, enter
from shared.telemetry.process_usage import CpuTime
from tests.conftest import ROOT
from tools.metrics_page import PAGE, page

NAME = re.compile(r"\blipstage_[a-z0-9_]+")
RECORDED = re.compile(r"\blipstage:[a-z0-9_:]+")


def pages() -> list[Path]:
    docs = [path for path in (ROOT / "docs").rglob("*.md") if path.name != "changelog.md"]
    return docs + [path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".yaml", ".yml", ".json")]


def test_page_matches_the_catalogue() -> None:
    assert PAGE.read_text() == page(), "run python -m tools.metrics_page"


def test_every_metric_of_ours_is_in_the_catalogue() -> None:
    own = {c for c in REGISTRY._collector_to_names if isinstance(c, MetricWrapperBase) and "lipstage" in c._name}
    own_names = {f"{c._name}_total" if c._type == "counter" else c._name for c in own}
    assert own_names | {metrics.CPU_SECONDS.name} == set(CATALOGUE)


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_entry_follows_the_conventions(entry) -> None:
    assert re.fullmatch(r"lipstage_[a-z][a-z0-9_]*", entry.name)
    assert entry.name.endswith("_total") == (entry.kind == "counter")
    assert entry.unit and entry.meaning and not entry.meaning.endswith(".")
    if entry.unit in ("seconds", "bytes"):
        assert f"_{entry.unit}" in entry.name
    assert set(entry.labels) <= LABELS.keys()
    assert list(entry.buckets) == sorted(set(entry.buckets))
    assert bool(entry.buckets) == (entry.kind == "histogram")
    is_bounded = entry.name.startswith(("lipstage_store_", "lipstage_webhook_post_"))  # By time limits of at most 60 s.
    if entry.buckets and "duration" in entry.name and not is_bounded:
        assert max(entry.buckets) >= 600


def test_catalogue_refuses_a_second_entry_and_an_undescribed_label() -> None:
    with pytest.raises(ValueError, match="lipstage_tasks_total"):
        enter("lipstage_tasks_total", "counter", "records", "again", ())
    with pytest.raises(ValueError, match="lipstage_new"):
        enter("lipstage_new", "gauge", "records", "by tenant", ("tenant",))
    assert "lipstage_new" not in CATALOGUE


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_that_rules_dashboards_and_docs_name_exists(path: Path) -> None:
    text = path.read_text()
    series = {name for entry in CATALOGUE.values() for name in (entry.name, *entry.series)}
    named = {name for name in NAME.findall(text) if not name.endswith("_")}  # Else a family: lipstage_client_*.
    assert {name for name in named if "_pb2" not in name} <= series  # Modules of gRPC have such names.
    rules = "\n".join(rule.read_text() for rule in (ROOT / "deploy/prometheus/rules").glob("*.yaml"))
    recorded = set(re.findall(r"record: (\S+)", rules))
    assert {name.rstrip(":") for name in RECORDED.findall(text)} <= recorded


def test_senders_add_no_series() -> None:
    engines = LabelValues()
    engines.allow(("puppet", "sonic"))
    hostile = ["", "PUPPET", "a" * 5000, '"}\n', "\u202e", *(uuid.uuid4().hex for _ in range(1000))]
    assert {engines.of(name) for name in hostile} == {"other"}
    assert [engines.of(name) for name in ("puppet", "sonic", None)] == ["puppet", "sonic", "other"]


def test_exemplar_is_the_current_sampled_trace() -> None:
    assert metrics.exemplar() is None
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        trace_id = format(span.get_span_context().trace_id, "032x")
        assert metrics.exemplar() == {"trace_id": trace_id}
        metrics.STORE_SECONDS.labels("face", "artifacts.put").observe(0.01, metrics.exemplar())
    body, _ = metrics.exposition("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    samples = families["lipstage_store_request_duration_seconds"].samples
    assert trace_id in {sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar}


def test_trace_that_is_not_sampled_is_no_exemplar() -> None:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0))
    with use_span(NonRecordingSpan(context)):
        assert metrics.exemplar() is None


def test_cpu_time_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter((5.0, 3.0, 7.0))
    monkeypatch.setattr("shared.telemetry.process_usage.cpu_seconds", lambda: next(readings))
    cpu = CpuTime("face")
    values = [sample.value for _ in range(3) for family in cpu.collect() for sample in family.samples]
    assert values == [5.0, 5.0, 7.0]


def test_no_created_series() -> None:
    metrics.TASKS.labels("face", "done", "").inc()
    assert b"_created" not in generate_latest(REGISTRY).replace(b"process_", b"")
