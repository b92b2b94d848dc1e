"""Every case renders as committed: a change of the chart shows in the review of its pull request."""

import pytest

from tests.helm import golden
from tests.helm.cases import CASES


@pytest.mark.parametrize("case", CASES)
def test_render_is_the_committed_one(case: str) -> None:
    assert golden.text(case) == (golden.FOLDER / f"{case}.yaml").read_text(), "python -m tests.helm.golden writes it"


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in golden.FOLDER.iterdir()} == set(CASES)
