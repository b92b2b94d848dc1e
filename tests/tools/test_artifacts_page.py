"""The table of artifacts in docs/messages.md is generated from the stages' declarations."""

import pytest

from tools import artifacts_page


def test_the_page_is_current() -> None:
    page = artifacts_page.PAGE.read_text()
    assert page == artifacts_page.updated(page), "run python -m tools.artifacts_page"


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="markers"):
        artifacts_page.updated("# Messages\n")
