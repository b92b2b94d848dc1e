"""docs/telemetry.md is generated from the registry of spans and attributes."""

from shared.telemetry.attributes import SPAN_ATTRIBUTES
from tools import telemetry_page


def test_the_page_is_current() -> None:
    assert telemetry_page.PAGE.read_text() == telemetry_page.page(), "run python -m tools.telemetry_page"


def test_every_attribute_has_its_row() -> None:
    assert [key for key in SPAN_ATTRIBUTES if f"\n| `{key}` |" not in telemetry_page.page()] == []
