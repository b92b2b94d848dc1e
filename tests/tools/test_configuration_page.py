"""The committed page matches the settings models."""

from tools import configuration_page


def test_page_matches_the_settings() -> None:
    assert configuration_page.PAGE.read_text() == configuration_page.page(), "run python -m tools.configuration_page"
