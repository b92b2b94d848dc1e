"""The table of failure classes in docs/delivery.md, and that what it names exists."""

from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import REGISTRY

from shared.messages.codes import Code
from shared.messages.events import AnyEvent
from shared.runtime.failure_classes import CLASSES, FailureClass
from shared.telemetry import metrics
from tools.code_index import ROOT
from tools.failure_table import PAGE, page

ROWS = pytest.mark.parametrize("row", CLASSES.values(), ids=list(CLASSES))
EVENTS = {str(kind.model_fields["type"].default) for kind in get_args(get_args(AnyEvent)[0])}


def test_table_is_current() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run `python -m tools.failure_table`"


@ROWS
def test_events_exist(row: FailureClass) -> None:
    assert row.events
    assert set(row.events) <= EVENTS


@ROWS
def test_metric_exists_with_its_labels(row: FailureClass) -> None:
    name, _, label = row.metric.partition("{")
    assert metrics.TASKS  # The catalogue is loaded.
    collector = REGISTRY._names_to_collectors[name]
    if label:
        assert label.partition("=")[0] in collector._labelnames  # type: ignore[attr-defined]


@ROWS
def test_log_line_is_written_by_the_runtime(row: FailureClass) -> None:
    sources = [path.read_text() for path in Path(ROOT / "shared" / "runtime").rglob("*.py")]
    assert any(f'"{row.log}"' in text.replace("\n            ", "") for text in sources if "log." in text)


@ROWS
def test_codes_in_the_examples_exist(row: FailureClass) -> None:
    words = row.examples.replace(",", " ").replace(":", " ").replace(";", " ").split()
    codes = {word for word in words if word.isupper() and "_" in word and "`" not in word}
    assert codes <= set(Code.__members__)
