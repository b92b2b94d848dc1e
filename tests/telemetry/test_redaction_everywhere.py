"""Redaction can't be forgotten: one module makes tracer providers, one makes exporters, and both are always joined."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.telemetry.redaction import RedactingExporter
from shared.telemetry.tracing import setup

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("shared", "stages", "bench", "tools", "examples", "deploy")
PROVIDERS, EXPORTERS, QUEUE = (f"shared/telemetry/{name}.py" for name in ("tracing", "otlp", "span_queue"))
RESERVED = {
    "opentelemetry.exporter": {EXPORTERS},
    "opentelemetry.sdk.trace.TracerProvider": {PROVIDERS},
    "opentelemetry.sdk.trace.export.BatchSpanProcessor": {QUEUE},
    "opentelemetry.sdk.trace.export.SimpleSpanProcessor": set(),
    "opentelemetry.sdk.trace.export.ConsoleSpanExporter": set(),
    "opentelemetry.sdk._configuration": set(),
    "opentelemetry.sdk._logs": set(),
    "opentelemetry.sdk.metrics": set(),
    "opentelemetry.trace.set_tracer_provider": set(),
    "shared.telemetry.otlp": {PROVIDERS},
    "shared.telemetry.span_queue": {PROVIDERS},
}
"""What may be imported by these files alone: whatever makes a provider, or sends spans, logs or metrics by OTLP."""
METHODS = {
    "add_span_processor": PROVIDERS,
    "set_tracer_provider": None,
    "start_as_current_span": "shared/telemetry/failing.py",
    "record_exception": None,
}
"""Methods that one file may call, or none: the last two put the text of an exception into the span."""


def imported(tree: ast.AST) -> Iterator[str]:
    """The full names of all imports, wherever they stand in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    found = [
        name
        for name in imported(tree)
        for reserved, allowed in RESERVED.items()
        if f"{name}.".startswith(f"{reserved}.") and path not in allowed
    ]
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found + sorted(name for name in called & METHODS.keys() if METHODS[name] != path)


def test_nothing_else_makes_a_provider_or_an_exporter() -> None:
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 300
    found = {str(file.relative_to(ROOT)): breaches(str(file.relative_to(ROOT)), file.read_text()) for file in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
        "def later():\n    from opentelemetry.exporter.otlp.proto import grpc",
        "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as exporter",
        "from opentelemetry.sdk.trace import TracerProvider",
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor",
        "from shared.telemetry import otlp",
        "from shared.telemetry.otlp import exporter",
        "tracing.provider.add_span_processor(mine)",
        "trace.set_tracer_provider(mine)",
    ],
)
def test_every_way_around_is_found(source: str) -> None:
    assert breaches("shared/client/connection.py", source)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_exporter_of_each_protocol_is_redacted(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", raising=False)
    tracing = setup("audio", "1")
    (processor,) = tracing.provider._active_span_processor._span_processors
    assert type(processor.span_exporter) is RedactingExporter
    assert protocol.partition("/")[0] in type(processor.span_exporter._inner).__module__
    tracing.shutdown()
