"""Preset ids, and a shutdown that a hanging collector does not delay."""

import threading

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shared.telemetry import tracing as module
from shared.telemetry.ids import derived_span_id, preset_span_id
from shared.telemetry.tracing import setup


def test_preset_id_is_used_once_and_only_inside(recorded) -> None:
    with preset_span_id(0xABCDEF):
        first, second = (recorded.tracer.start_span(name) for name in "ab")
    third = recorded.tracer.start_span("c")
    ids = [span.get_span_context().span_id for span in (first, second, third)]
    assert ids[0] == 0xABCDEF
    assert len(set(ids)) == 3


def test_preset_id_is_local_to_its_thread(recorded) -> None:
    other_ids: list[int] = []

    def other() -> None:
        other_ids.append(recorded.tracer.start_span("b").get_span_context().span_id)

    with preset_span_id(7):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        mine = recorded.tracer.start_span("a").get_span_context().span_id
    assert mine == 7
    assert other_ids != [7]


@pytest.mark.parametrize("span_id", [0, -1, 1 << 64])
def test_invalid_preset_id_is_refused(span_id: int) -> None:
    with pytest.raises(ValueError, match="span id"), preset_span_id(span_id):
        pass


def test_derived_id_is_stable_and_separates_its_parts() -> None:
    assert derived_span_id("job", "request") == derived_span_id("job", "request")
    assert derived_span_id("ab", "c") != derived_span_id("a", "bc")
    assert 0 < derived_span_id("job") < 1 << 64


class _Stuck(SpanExporter):
    """A collector that accepts requests and never responds."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def export(self, spans):
        self.entered.set()
        self.release.wait()
        return SpanExportResult.SUCCESS


def test_shutdown_returns_while_the_collector_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_S", 0.05)
    exporter = _Stuck()
    tracing = setup("audio", "1", exporter)
    tracing.tracer.start_span("a").end()
    assert exporter.entered.wait(30)
    tracing.shutdown()
    assert not exporter.release.is_set(), "the export still hangs"
    exporter.release.set()
