"""docs/access.md shows the rights that the code gives."""

from tools.access_page import PAGE, page


def test_page_is_current() -> None:
    text = PAGE.read_text()
    assert page(text) == text
