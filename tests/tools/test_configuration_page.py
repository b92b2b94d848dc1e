"""The committed page is the one the settings models give."""

from tools import configuration_page


def test_the_page_is_current() -> None:
    assert configuration_page.PAGE.read_text() == configuration_page.page(), "run python -m tools.configuration_page"
